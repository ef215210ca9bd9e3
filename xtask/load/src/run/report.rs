//! What a run showed.

use std::cell::Cell;

use super::progress::{Cost, Costs, mib};
use super::shared::Shared;

pub(super) fn print(shared: &Shared, costs: &Costs) {
    let options = &shared.options;
    let seconds = costs.elapsed.as_secs_f64();
    let per_s = |counter: &Cell<u64>| counter.get() as f64 / seconds;
    println!(
        "\n{} agents x {} processes, a sample each {:?}, {} lives a minute and host, {seconds:.0} s",
        options.agents, options.processes, options.interval, options.lives_per_minute
    );
    println!(
        "acknowledged: {} batches ({:.0}/s), {} samples, {} process rows ({:.0}/s), {} events ({:.0}/s), {:.1} MiB ({:.0} bytes each)",
        shared.batches.get(),
        per_s(&shared.batches),
        shared.samples.get(),
        shared.rows.get(),
        per_s(&shared.rows),
        shared.events.get(),
        per_s(&shared.events),
        mib(shared.sent_bytes.get()),
        shared.sent_bytes.get() as f64 / shared.batches.get().max(1) as f64,
    );
    println!(
        "resyncs asked for: {}; put off: {}; connections broken: {}; refused: {}",
        shared.resyncs.get(),
        shared.put_off.get(),
        shared.broken.get(),
        shared.refused.get()
    );
    print_latencies(shared);
    for (name, cost) in [("server", costs.server), ("database", costs.database)] {
        if let Some(cost) = cost {
            print_cost(shared, name, &cost, seconds);
        }
    }
    super::rules::print(shared);
    println!(
        "simulator: {:.1} s of CPU ({:.0} % of a core)",
        costs.own_cpu.as_secs_f64(),
        costs.own_cpu.as_secs_f64() / seconds * 100.0
    );
    if let Some((before, after)) = costs.disk_bytes {
        let grown = after.saturating_sub(before);
        println!(
            "disk: {:.1} MiB before, {:.1} MiB after: {:.2} bytes per process row, events included",
            mib(before),
            mib(after),
            grown as f64 / shared.rows.get().max(1) as f64
        );
    }
}

fn print_latencies(shared: &Shared) {
    println!(
        "\n{:<28} {:>8} {:>9} {:>9} {:>9} {:>9}",
        "milliseconds", "count", "p50", "p95", "p99", "max"
    );
    let line = |name: &str, latency: &procmon_load::quantiles::Quantiles, note: &str| {
        let at = |share| latency.at_ms(share);
        println!(
            "{name:<28} {:>8} {:>9.2} {:>9.2} {:>9.2} {:>9.2}  {note}",
            latency.count(),
            at(0.5),
            at(0.95),
            at(0.99),
            latency.max_ms()
        );
    };
    line("ingest", &shared.ingest.borrow(), "");
    line("(sent later than due)", &shared.late.borrow(), "");
    for (name, asked) in &*shared.queries.borrow() {
        let kib = asked.bytes / asked.latency.count().max(1) / 1024;
        let failed = match asked.failed {
            0 => String::new(),
            failed => format!(", {failed} FAILED"),
        };
        let put_off = match asked.put_off {
            0 => String::new(),
            put_off => format!(", {put_off} put off"),
        };
        let note = format!("{kib} KiB each{put_off}{failed}");
        line(name, &asked.latency, &note);
    }
    println!();
}

fn print_cost(shared: &Shared, name: &str, cost: &Cost, seconds: f64) {
    let cpu = cost.cpu.as_secs_f64();
    println!(
        "{name}: {cpu:.1} s of CPU ({:.0} % of a core, {:.3} ms per batch, {:.2} s per million process rows), {:.0} MiB at most",
        cpu / seconds * 100.0,
        cpu * 1000.0 / shared.batches.get().max(1) as f64,
        cpu * 1e6 / shared.rows.get().max(1) as f64,
        mib(cost.highest_rss_bytes),
    );
}
