//! What an evaluation of 100 rules costs at 300 000 live processes: `cargo bench -p procmon-server --bench rules`. The hosts are made
//! up in this process; what is measured is the CPU time of one look at all of them, with what rules remember and with the alerts that
//! there are already. The budget is 1 s for rules as people have them; 100 rules of one kind each say what that kind costs. A number
//! after `--` is another number of hosts.

mod fleet;

use std::sync::Arc;

use procmon_server::alerts::evaluate::{
    Found, Known, Moment, Plan, SeriesMemory, Sighting, Subject, scan,
};
use procmon_server::alerts::rule::{Rule, RuleBody, Source};
use procmon_server::live::Live;
use serde_json::{Value, json};

/// Unless another number is given.
const HOSTS: u32 = 1_000;
const RULES: usize = 100;
const RUNS: usize = 10;
const EVALUATION_MS: i64 = 15_000;
const BUDGET_MS: f64 = 1_000.0;

/// A rule by its number.
type Make = fn(usize) -> Value;

/// Rules of one kind each.
const KINDS: [(&str, Make); 9] = [
    ("thresholds", threshold),
    ("thresholds of one program", |number| {
        with(threshold(number), &json!({ "process_name": "java" }))
    }),
    ("thresholds by expression", by_expression),
    (
        "zombies",
        |_| json!({ "name": "x", "kind": "zombie", "process_name": "p*" }),
    ),
    ("absence", absence),
    ("sums by name and host", |number| {
        grouped(number, "sum", &["name", "agent_id"], 1e12)
    }),
    ("sums by name", |number| {
        grouped(number, "sum", &["name"], 1e15)
    }),
    ("rates of one program", rate),
    ("changes of one program", change),
];

fn main() {
    let given = std::env::args().find_map(|argument| argument.parse().ok());
    let hosts = given.unwrap_or(HOSTS);
    let mut fleet = Fleet {
        live: fleet::live(hosts),
        hosts,
        seq: 1,
        now_ms: fleet::NOW_MS,
    };
    println!(
        "{} processes on {hosts} hosts, {RULES} rules, {RUNS} runs each",
        hosts * fleet::PROCESSES
    );
    let usual: Vec<Value> = (0..RULES).map(usual).collect();
    let median_ms = measure(&mut fleet, "as people have them", &usual);
    if median_ms > BUDGET_MS {
        println!("OVER BUDGET ({BUDGET_MS} ms)");
    }
    for (name, make) in KINDS {
        measure(&mut fleet, name, &(0..RULES).map(make).collect::<Vec<_>>());
    }
}

/// Of every kind and scope: 40 thresholds, 20 groups, 15 programs that must be there, 15 rules about events, 5 rates, 3 zombies and 2
/// changes, and a host that is silent.
fn usual(number: usize) -> Value {
    let scope = match number % 10 {
        0 | 1 => json!({}),
        2..=4 => json!({ "process_name": PROGRAMS[number / 10] }),
        5 => json!({ "process_name": "post*" }),
        6 => json!({ "process_name": "/^(python|node|java).*$/" }),
        7 => json!({ "user": format!("user-{number}") }),
        8 => json!({ "container": format!("{number:064x}") }),
        _ => {
            json!({ "q": format!("cmdline.contains('--shard={number} ') && num_threads > 2") })
        }
    };
    match number {
        0..40 => with(threshold(number), &scope),
        40..48 => with(grouped(number, "sum", &["name", "agent_id"], 3e11), &scope),
        48..54 => json!({
            "name": "x", "process_name": PROGRAMS[number % 12], "operator": "<", "threshold": 2,
            "aggregate": { "function": "count", "by": ["agent_id"] }
        }),
        54..57 => grouped(number, "max", &["username"], 1e12),
        57..60 => grouped(number, "sum", &["systemd_unit"], 1e15),
        60..75 => absence(number),
        75..85 => json!({
            "name": "x", "kind": "event", "types": ["exec"], "process_name": "*sh", "q": "'nginx' in ancestors"
        }),
        85..89 => json!({ "name": "x", "kind": "crash_loop" }),
        89 => json!({ "name": "x", "kind": "host_down" }),
        90..95 => rate(number),
        95..98 => with(json!({ "name": "x", "kind": "zombie" }), &scope),
        _ => change(number),
    }
}

/// As [`fleet`] has them.
const PROGRAMS: [&str; 12] = [
    "java",
    "nginx",
    "postgres",
    "python3",
    "sshd",
    "systemd",
    "node",
    "redis-server",
    "bash",
    "cron",
    "containerd",
    "java",
];

/// About one process in a thousand is beyond it.
fn threshold(number: usize) -> Value {
    const METRICS: [(&str, f64); 5] = [
        ("cpu_percent", 99.0),
        ("memory_rss", 2.046e9),
        ("num_threads", 1e3),
        ("memory_percent", 3.0),
        ("read_bytes", 1e10),
    ];
    let (metric, threshold) = METRICS[number % METRICS.len()];
    json!({ "name": "x", "metric": metric, "operator": ">", "threshold": threshold, "for": "1m" })
}

fn by_expression(number: usize) -> Value {
    let q = format!("cmdline.contains('--shard={number} ') || username == 'user-{number}'");
    with(threshold(number), &json!({ "q": q }))
}

fn absence(number: usize) -> Value {
    let daemon = match number % 3 {
        0 => format!("daemon-{number}"),
        _ => PROGRAMS[number % PROGRAMS.len()].to_owned(),
    };
    json!({ "name": "x", "kind": "absence", "process_name": daemon })
}

fn grouped(number: usize, function: &str, by: &[&str], threshold: f64) -> Value {
    let aggregate = json!({ "function": function, "by": by });
    with(
        self::threshold(number),
        &json!({ "threshold": threshold, "aggregate": aggregate }),
    )
}

fn rate(number: usize) -> Value {
    json!({
        "name": "x", "kind": "rate", "metric": "memory_rss", "operator": ">", "threshold": number,
        "process_name": (["cron", "sshd"][number % 2]), "agent_id": format!("host-*{}", number % 10)
    })
}

fn change(number: usize) -> Value {
    json!({
        "name": "x", "kind": "change", "field": "exe", "process_name": (["cron", "sshd"][number % 2]),
        "agent_id": format!("host-*{}", number % 10)
    })
}

fn with(mut rule: Value, more: &Value) -> Value {
    if let (Some(rule), Some(more)) = (rule.as_object_mut(), more.as_object()) {
        rule.extend(more.clone());
    }
    rule
}

struct Fleet {
    live: Live,
    hosts: u32,
    seq: u64,
    now_ms: i64,
}

/// Evaluates rules again and again, each time on a new sample; the median.
fn measure(fleet: &mut Fleet, name: &str, rules: &[Value]) -> f64 {
    let rules = rules.iter().enumerate().map(|(number, rule)| {
        let mut body = RuleBody::from_value(rule.clone()).expect("a rule");
        body.id = Some(format!("rule-{number}"));
        Arc::new(Rule::new(body, Source::Api).expect("a rule"))
    });
    let plan = Plan::new(rules);
    let hosts = fleet.live.hosts(None);
    let mut memory = SeriesMemory::default();
    let mut times = Vec::new();
    let (mut found, mut known) = (Found::default(), Known::default());
    for _ in 0..=RUNS {
        fleet.seq += 1;
        fleet.now_ms += EVALUATION_MS;
        fleet::sample(&fleet.live, fleet.hosts, fleet.seq, fleet.now_ms);
        let moment = Moment {
            now_ms: fleet.now_ms,
            quiet_since_ms: 0,
        };
        let before = cpu_ms();
        found = scan(&plan, &hosts, &known, &mut memory, moment);
        times.push(cpu_ms() - before);
        note(&mut known, &found.sightings);
    }
    // The first finds all alerts, and its memory empty.
    times.remove(0);
    times.sort_unstable_by(f64::total_cmp);
    println!(
        "CPU p50 {:7.1} ms, most {:7.1} ms, {:6} found: {name}",
        times[RUNS / 2],
        times[RUNS - 1],
        found.sightings.len()
    );
    times[RUNS / 2]
}

/// The alerts that there are from now on.
fn note(known: &mut Known, sightings: &[Sighting]) {
    for sighting in sightings {
        match &sighting.subject {
            Subject::Process(agent_id, id) => {
                let of_host = known.processes.entry(Arc::clone(agent_id)).or_default();
                let rules = of_host.entry(*id).or_default();
                if !rules.contains(&sighting.rule) {
                    rules.push(sighting.rule);
                }
            }
            Subject::Group(labels) => {
                known.groups.insert((sighting.rule, labels.clone()));
            }
        }
    }
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
