//! The end-to-end count: what was acknowledged, asked back through the API.

use anyhow::{Context, Result};
use procmon_load::connection::Connection;
use procmon_load::ledger::{Count, Told};

use super::agent::Played;
use super::found::{Agents, EventPage, History, Processes, page, read};
use super::shared::Shared;

/// Hosts whose values and history are compared in detail.
const COMPARED: usize = 20;
/// Processes of each.
const COMPARED_PROCESSES: [u32; 3] = [0, 3, 17];

/// Whether nothing is missing, and nothing there twice. Says what is wrong.
pub(super) async fn check(shared: &Shared, played: &mut [Played]) -> Result<bool> {
    played.sort_unstable_by_key(|played| played.number);
    let mut connection = Connection::new(&shared.address);
    let mut count = Count::default();
    let mut wrong_ends = 0;
    for told in [Told::Exec, Told::Exit] {
        find_events(
            shared,
            &mut connection,
            played,
            told,
            &mut count,
            &mut wrong_ends,
        )
        .await?;
    }
    for one in &*played {
        one.ledger.count(&mut count);
    }
    println!(
        "events: of {} execs acknowledged {} are missing, of {} exits {}; {} are there twice, {} unexpected, {wrong_ends} exits differ",
        count.execs,
        count.execs_missing,
        count.exits,
        count.exits_missing,
        count.repeated,
        count.unexpected
    );
    let hosts = compare_hosts(shared, &mut connection, played).await?;
    let values = compare_values(&mut connection, played).await?;
    let whole = count.is_whole() && wrong_ends == 0 && hosts && values;
    println!(
        "{}",
        if whole {
            "nothing is lost"
        } else {
            "LOST OR WRONG"
        }
    );
    Ok(whole)
}

async fn find_events(
    shared: &Shared,
    connection: &mut Connection,
    played: &mut [Played],
    told: Told,
    count: &mut Count,
    wrong_ends: &mut u64,
) -> Result<()> {
    let kind = match told {
        Told::Exec => "exec",
        Told::Exit => "exit",
    };
    let mut cursor = String::new();
    loop {
        let path = format!("/events?type={kind}&limit=10000{cursor}");
        let body = page(connection, &path)
            .await?
            .context("the server has no /events")?;
        let page: EventPage<'_> =
            serde_json::from_slice(&body).context("/events is not what it was")?;
        for event in &page.events {
            let number = shared.number_of(&event.agent_id);
            let one = number.and_then(|number| played.get_mut(number));
            let (Some(one), Some(pid)) = (one, event.pid) else {
                continue;
            };
            one.ledger.find(pid, told, count);
            let expected = procmon_load::process::end_of(pid);
            if told == Told::Exit && (event.exit_code, event.signal) != expected {
                *wrong_ends += 1;
            }
        }
        match page.next_cursor {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(()),
        }
    }
}

/// Each host is listed with as many processes as it has.
async fn compare_hosts(
    shared: &Shared,
    connection: &mut Connection,
    played: &[Played],
) -> Result<bool> {
    let agents: Agents = read(connection, "/agents")
        .await?
        .context("the server has no /agents")?;
    let mut processes = vec![None; played.len()];
    for agent in &agents.agents {
        if let Some(slot) = shared
            .number_of(&agent.agent_id)
            .and_then(|number| processes.get_mut(number))
        {
            *slot = Some(agent.processes);
        }
    }
    let missing = processes.iter().filter(|found| found.is_none()).count();
    let differing = played.iter().zip(&processes).filter(|(one, found)| {
        !one.broken_off && found.is_some_and(|found| found != one.host.process_count())
    });
    let differing = differing.count();
    let total: usize = processes.iter().flatten().sum();
    println!(
        "hosts: {missing} missing; {total} processes listed, {differing} hosts with a wrong number"
    );
    Ok(missing == 0 && differing == 0)
}

/// The values of some processes are those of the last sample, and their history has every sample.
async fn compare_values(connection: &mut Connection, played: &[Played]) -> Result<bool> {
    let (mut compared, mut wrong, mut points, mut wrong_histories, mut has_history) =
        (0, 0, 0, 0, true);
    let step = (played.len() / COMPARED).max(1);
    for one in played.iter().step_by(step).filter(|one| !one.broken_off) {
        for number in COMPARED_PROCESSES {
            let Some((identity, values)) = one.host.baseline(number) else {
                continue;
            };
            let (agent_id, pid) = (one.host.agent_id(), identity.pid);
            let path = format!("/processes?agent_id={agent_id}&pid={pid}");
            let found: Processes = read(connection, &path).await?.context("no /processes")?;
            compared += 1;
            let same = found.processes.iter().any(|process| {
                process.pid == pid
                    && process.cpu_time_ms == Some(values.cpu_time_ms.into())
                    && process.memory_rss == Some(u64::from(values.rss_kib) << 10)
                    && process.voluntary_switches == Some(values.switches.into())
                    && process.minor_faults == Some(values.faults.into())
            });
            wrong += u32::from(!same);
            let path = format!("/processes/{pid}/history?agent_id={agent_id}&minutes=1440");
            match read::<History>(connection, &path).await? {
                Some(history) => {
                    points += history.points.len();
                    // A key batch between two samples repeats the values of the one before, and may or may not be shown.
                    let (samples, between) = (one.ledger.samples, one.ledger.keys_between);
                    let expected = samples..=samples + between;
                    wrong_histories +=
                        u32::from(!expected.contains(&(history.points.len() as u64)));
                }
                None => has_history = false,
            }
        }
    }
    println!("values: {compared} processes compared with their host, {wrong} differ");
    if has_history {
        println!(
            "history: {points} points, {wrong_histories} processes without a point for each sample"
        );
    } else {
        println!("history: this server has none");
    }
    Ok(wrong == 0 && wrong_histories == 0)
}
