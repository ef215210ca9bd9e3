//! What is remembered of agents.

use procmon_server::store::{AgentRow, Door};

use crate::fixture::Fixture;

pub(crate) async fn what_agents_last_said_is_kept(fixture: Fixture) {
    let store = fixture.open().await;
    let mut first = AgentRow {
        agent_id: "a".to_owned(),
        first_seen_ms: 1,
        last_seen_ms: 2,
        door: Door::Upload,
        machine_id: vec![0, 255],
        boot_id: Vec::new(),
        interval_ms: u32::MAX,
        clock_offset_ms: -3,
        health: "{\"name\":\"é\"}".to_owned(),
    };
    let second = AgentRow {
        agent_id: "b".to_owned(),
        door: Door::Native,
        ..first.clone()
    };
    let both = [first.clone(), second.clone()];
    store.save_agents(&both).await.expect("it saves");
    first.last_seen_ms = 9;
    first.health.clear();
    let changed = std::slice::from_ref(&first);
    store.save_agents(changed).await.expect("it saves");
    // More than one statement takes.
    let mut all = vec![first.clone(), second];
    all.extend((100..180).map(|number| AgentRow {
        agent_id: format!("c-{number}"),
        first_seen_ms: number,
        ..first.clone()
    }));
    store.save_agents(&all[1..]).await.expect("it saves");
    drop(store);
    let store = fixture.open().await;
    assert_eq!(store.agents().await.expect("it reads"), all);
}
