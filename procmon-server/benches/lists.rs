//! What lists cost at a million live processes: `cargo bench -p procmon-server --bench lists`. The hosts are made up in this
//! process; what is timed is what `GET /processes` does for its first page, from the parsed query to the rows as JSON.

mod fleet;

use std::time::{Duration, Instant};

use procmon_server::live::ProcessView;
use procmon_server::processes::{ProcessBody, Rows, Sort};
use procmon_server::query::{Condition, compile};

const HOSTS: u32 = 3_334;
const RUNS: usize = 100;
const LIMIT: usize = 100;

/// An expression, and an order.
const LISTS: [(&str, &str); 10] = [
    ("true", "-cpu_percent"),
    ("cpu_percent > 50", "-cpu_percent"),
    ("cpu_percent > 50 && name == 'java'", "-memory_rss"),
    ("name.contains('ngin')", "-cpu_percent"),
    (
        "name == 'nginx' || memory_rss > 1000000000",
        "-cpu_percent,name",
    ),
    ("username == 'user-7'", "name,pid"),
    (
        "memory_rss / 1024.0 > 200000.0 && !(status in ['Z', 'T'])",
        "-start_time",
    ),
    ("cmdline.contains('--shard=17 ')", "-cpu_percent"),
    ("args.exists(a, a.startsWith('--shard=1'))", "-cpu_percent"),
    ("cmdline.matches('shard=[0-4]+7')", "-cpu_percent"),
];

fn main() {
    let live = fleet::live(HOSTS);
    let rows = Rows::new(live.hosts(None), fleet::NOW_MS);
    println!(
        "{} processes on {HOSTS} hosts, first {LIMIT} rows, {RUNS} runs each",
        HOSTS * fleet::PROCESSES
    );
    for (expression, order) in LISTS {
        let condition = compile::<ProcessView<'_>>(expression).expect("an expression");
        let sort = Sort::parse(Some(order)).expect("an order");
        measure(&rows, expression, order, &condition, &sort);
    }
}

fn measure(rows: &Rows, expression: &str, order: &str, condition: &Condition, sort: &Sort) {
    let mut times = Vec::with_capacity(RUNS);
    let mut total = 0;
    for _ in 0..RUNS {
        let started = Instant::now();
        let page = rows
            .page(condition, sort, None, LIMIT)
            .expect("not too costly");
        let shown = rows.show(&page.places, ProcessBody::new);
        let json = serde_json::to_vec(&shown).expect("JSON");
        times.push(started.elapsed());
        total = page.total;
        assert!(!json.is_empty());
    }
    times.sort_unstable();
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    println!(
        "p50 {:7.1} ms, p99 {:7.1} ms, {total:8} rows: {expression}  sort={order}",
        ms(times[RUNS / 2]),
        ms(times[RUNS * 99 / 100]),
    );
}
