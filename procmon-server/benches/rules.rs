//! What an evaluation of 100 rules costs at 300 000 live processes: `cargo bench -p procmon-server --bench rules`. The hosts are made
//! up in this process; what is measured is the CPU time of one look at all of them. The budget is 1 s. A number after `--` is another
//! number of hosts.

mod fleet;

use std::sync::Arc;

use procmon_server::alerts::evaluate::{Found, Known, Moment, Plan, SeriesMemory, scan};
use procmon_server::alerts::rule::{Rule, RuleBody, Source};
use procmon_server::live::Live;
use serde_json::{Value, json};

/// Unless another number is given.
const HOSTS: u32 = 1_000;
const RULES: usize = 100;
const RUNS: usize = 10;

/// A rule by its number.
type Make = fn(usize) -> Value;

fn main() {
    let given = std::env::args().find_map(|argument| argument.parse().ok());
    let hosts = given.unwrap_or(HOSTS);
    let live = fleet::live(hosts);
    println!(
        "{} processes on {hosts} hosts, {RULES} rules, {RUNS} runs each",
        hosts * fleet::PROCESSES
    );
    let kinds: [(&str, Make); 7] = [
        ("thresholds", threshold),
        ("thresholds of one program", |number| {
            with(threshold(number), json!({ "process_name": "java" }))
        }),
        ("thresholds by expression", |number| {
            let q = format!("cmdline.contains('--shard={number} ') || username == 'user-{number}'");
            with(threshold(number), json!({ "q": q }))
        }),
        ("zombies and absence", |number| match number % 2 {
            0 => json!({ "name": "x", "kind": "zombie", "process_name": "p*" }),
            _ => {
                json!({ "name": "x", "kind": "absence", "process_name": format!("daemon-{number}") })
            }
        }),
        ("sums by name and host", |number| {
            let aggregate = json!({ "function": "sum", "by": ["name", "agent_id"] });
            with(
                threshold(number),
                json!({ "threshold": 1e12, "aggregate": aggregate }),
            )
        }),
        ("sums by name", |number| {
            let aggregate = json!({ "function": "sum", "by": ["name"] });
            with(
                threshold(number),
                json!({ "threshold": 1e15, "aggregate": aggregate }),
            )
        }),
        ("rates of one program", |number| {
            let program = ["cron", "sshd"][number % 2];
            json!({
                "name": "x", "kind": "rate", "metric": "memory_rss", "operator": ">", "threshold": number,
                "process_name": program
            })
        }),
    ];
    for (name, make) in kinds {
        measure(&live, name, &(0..RULES).map(make).collect::<Vec<_>>());
    }
    let mixed: Vec<Value> = (0..RULES)
        .map(|number| (kinds[number % kinds.len()].1)(number))
        .collect();
    measure(&live, "all of them", &mixed);
}

fn threshold(number: usize) -> Value {
    const METRICS: [(&str, f64); 5] = [
        ("cpu_percent", 99.5),
        ("memory_rss", 2.04e9),
        ("num_threads", 1e3),
        ("memory_percent", 3.0),
        ("read_bytes", 1e10),
    ];
    let (metric, threshold) = METRICS[number % METRICS.len()];
    json!({ "name": "x", "metric": metric, "operator": ">", "threshold": threshold })
}

fn with(mut rule: Value, more: Value) -> Value {
    if let (Some(rule), Value::Object(more)) = (rule.as_object_mut(), more) {
        rule.extend(more);
    }
    rule
}

fn measure(live: &Live, name: &str, rules: &[Value]) {
    let rules = rules.iter().enumerate().map(|(number, rule)| {
        let mut body = RuleBody::from_value(rule.clone()).expect("a rule");
        body.id = Some(format!("rule-{number}"));
        Arc::new(Rule::new(body, Source::Api).expect("a rule"))
    });
    let plan = Plan::new(rules);
    let (hosts, known) = (live.hosts(None), Known::default());
    let mut memory = SeriesMemory::default();
    let moment = Moment {
        now_ms: fleet::NOW_MS,
        quiet_since_ms: 0,
    };
    let mut times = Vec::new();
    let mut found = Found::default();
    for _ in 0..RUNS {
        let before = cpu_ms();
        found = scan(&plan, &hosts, &known, &mut memory, moment);
        times.push(cpu_ms() - before);
    }
    times.sort_unstable_by(f64::total_cmp);
    println!(
        "CPU p50 {:7.1} ms, most {:7.1} ms, {:6} found: {name}",
        times[RUNS / 2],
        times[RUNS - 1],
        found.sightings.len()
    );
}

/// Of this process, user and system.
fn cpu_ms() -> f64 {
    // SAFETY: all bytes zero are a valid `timespec`.
    #[expect(
        unsafe_code,
        reason = "there is no other way to the CPU time of a process"
    )]
    let mut time: libc::timespec = unsafe { std::mem::zeroed() };
    // SAFETY: `time` is valid for writes of one `timespec`.
    #[expect(unsafe_code, reason = "as above")]
    let status = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    assert_eq!(status, 0, "the clock is always there");
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}
