//! The same samples as rows: PostgreSQL, one row per process and sample, loaded by COPY.

use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use procmon_common::columns::Column;
use procmon_server::store::history::HostSamples;

use crate::postgres::Cluster;

/// The twelve metrics that the figures of others are about.
const METRICS: [Column; 12] = [
    Column::Status,
    Column::CpuCentipercent,
    Column::CpuTimeMs,
    Column::RssKib,
    Column::Threads,
    Column::OpenFds,
    Column::NetConns,
    Column::ReadBytes,
    Column::WriteBytes,
    Column::VoluntarySwitches,
    Column::InvoluntarySwitches,
    Column::MinorFaults,
];
/// Rows loaded at most: what a row takes does not depend on their number.
const MOST_ROWS: usize = 500_000;

pub(crate) fn measure(samples: &HostSamples) {
    let (text, rows) = as_text(samples);
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("room on the disk");
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644))
        .expect("a file of ours");
    let cluster = Cluster::shared();
    let mut table =
        "create table sample (ts timestamptz, agent_id text, pid int, name text, cmdline text"
            .to_owned();
    for index in 0..METRICS.len() {
        let _ = write!(table, ", m{index} bigint");
    }
    cluster.sql(
        "postgres",
        &format!("{table}); create index on sample (agent_id, pid, ts)"),
    );
    let started = Instant::now();
    let ticks = cluster.sql(
        "postgres",
        &format!(
            "copy sample from '{}'; select pg_read_file('/proc/self/stat', 0, 2000)",
            file.path().display()
        ),
    );
    let took = started.elapsed();
    let after_name = ticks.rsplit(')').next().unwrap_or_default();
    let fields: Vec<f64> = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse().ok())
        .collect();
    let cpu = fields.iter().sum::<f64>() / 100.0;
    let bytes = cluster.sql(
        "postgres",
        "select pg_total_relation_size('sample'); drop table sample",
    );
    let bytes: f64 = bytes
        .lines()
        .next()
        .and_then(|line| line.parse().ok())
        .unwrap_or(f64::NAN);
    println!(
        "  PostgreSQL, a row per sample, one index: {:.0} bytes per row, {:.2} CPU s per million rows by COPY ({rows} rows in {took:.1?})",
        bytes / rows as f64,
        cpu / (rows as f64 / 1e6),
    );
}

/// Rows as COPY reads them.
fn as_text(samples: &HostSamples) -> (String, usize) {
    let place = |column| {
        let all = procmon_common::columns::COLUMNS.iter();
        all.clone().position(|known| *known == column)
    };
    let places: Vec<usize> = METRICS.iter().filter_map(|column| place(*column)).collect();
    let (mut text, mut rows) = (String::new(), 0);
    for life in &samples.lives {
        let image = life.life.image.as_ref();
        let name = image.map_or_else(String::new, |image| {
            String::from_utf8_lossy(&image.name).into_owned()
        });
        let command = image.map_or_else(String::new, |image| image.command_line());
        let clean = |text: String| text.replace(['\\', '\t', '\n', '\r'], " ");
        let (name, command) = (clean(name), clean(command));
        let pid = life.life.id.map_or(0, |id| id.pid);
        for sample in life.first..=life.last {
            if rows == MOST_ROWS {
                return (text, rows);
            }
            let at_ms = samples.sample_ms[sample];
            let at = jiff::Timestamp::from_millisecond(at_ms).expect("a time");
            let _ = write!(text, "{at}\tbench\t{pid}\t{name}\t{command}");
            for column in &places {
                match life.value_at(*column, sample) {
                    Some(value) => {
                        let _ = write!(text, "\t{value}");
                    }
                    None => text.push_str("\t\\N"),
                }
            }
            text.push('\n');
            rows += 1;
        }
    }
    (text, rows)
}
