use std::sync::Arc;

use super::*;
use crate::alerts::rule::{Rule, RuleBody, Source};
use crate::batch::{Batch, Life};
use crate::clock::Clock;
use crate::ingest::limits::IngestLimits;
use crate::live::apply::Place;

const NOW_MS: i64 = 1_000_000;

fn rule(id: &str, q: &str) -> Arc<Rule> {
    let body = RuleBody {
        id: Some(id.to_owned()),
        name: id.to_owned(),
        kind: crate::alerts::rule::RuleKind::Event,
        types: vec!["exec".to_owned()],
        q: Some(q.to_owned()),
        enabled: true,
        ..RuleBody::default()
    };
    Arc::new(Rule::new(body, Source::Api).expect("a rule"))
}

fn live() -> Live {
    let live = Live::new(Clock::manual(NOW_MS), IngestLimits::default());
    let place = Place {
        epoch: 1,
        seq: 1,
        received_ms: NOW_MS,
    };
    let entry = live.entry("a").expect("a place");
    entry.write().apply(&Batch::default(), place, Vec::new());
    live
}

fn events(count: usize) -> StoredEvents {
    let event = Event {
        ts_ns: NOW_MS * 1_000_000,
        life: Some(Arc::new(Life::default())),
        sampled: false,
        kind: EventKind::Exec,
    };
    StoredEvents {
        slice: 1,
        batch: 1,
        agent_id: "a".into(),
        received_ms: NOW_MS,
        events: vec![event; count],
    }
}

/// How often each rule matched, and what was left out of it.
fn counted(memory: &mut EventMemory, plan: &Plan) -> Vec<(f64, u64)> {
    let mut found = Found::default();
    memory.find(plan, NOW_MS, &mut found);
    let rules = 0..plan.rules().len();
    rules
        .map(|rule| {
            let mut of_rule = found.sightings.iter().filter(|one| one.rule == rule);
            let left_out = found.left_out.get(&rule).copied();
            (
                of_rule.next().map_or(0.0, |one| one.value),
                left_out.unwrap_or_default(),
            )
        })
        .collect()
}

#[test]
fn a_rule_that_costs_too_much_hurts_no_other_and_says_so() {
    let plan = Plan::new([
        rule("costly", "1 + 1 == 2 && agent_id.matches('a+')"),
        rule("z", "type == 'exec'"),
    ]);
    let live = live();
    let mut memory = EventMemory {
        steps: 100,
        ..EventMemory::default()
    };
    memory.feed(&plan, &live, &events(30), NOW_MS);
    let [(costly, left_out), (other, none)] = counted(&mut memory, &plan)[..] else {
        panic!("two rules");
    };
    assert!(costly > 0.0 && left_out > 0, "{costly} {left_out}");
    assert_eq!(costly as u64 + left_out, 30, "each is told or counted");
    assert_eq!((other as u64, none), (30, 0));
    // The next evaluation begins anew.
    memory.settle();
    memory.feed(&plan, &live, &events(1), NOW_MS);
    assert_eq!(counted(&mut memory, &plan), [(1.0, 0), (1.0, 0)]);
}

#[test]
fn what_is_not_kept_is_found_again() {
    let plan = Plan::new([rule("r", "type == 'exec'")]);
    let live = live();
    let mut memory = EventMemory::default();
    memory.feed(&plan, &live, &events(2), NOW_MS);
    for _ in 0..2 {
        assert_eq!(counted(&mut memory, &plan), [(2.0, 0)]);
    }
    memory.settle();
    assert_eq!(counted(&mut memory, &plan), [(0.0, 0)]);
}

#[test]
fn what_happened_on_a_host_that_is_not_known_yet_is_not_lost() {
    let plan = Plan::new([rule("r", "type == 'exec'")]);
    let live = Live::new(Clock::manual(NOW_MS), IngestLimits::default());
    let mut memory = EventMemory::default();
    memory.feed(&plan, &live, &events(2), NOW_MS);
    assert_eq!(counted(&mut memory, &plan), [(2.0, 0)]);
}
