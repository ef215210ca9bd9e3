//! The processes as rows, and their order.

use std::cmp::Ordering;

use clap::ValueEnum;
use procmon_common::columns::Column;

use crate::table::{Process, Table};

/// What the table is sorted by, the largest first; pids ascend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    #[default]
    Cpu,
    Mem,
    Time,
    Threads,
    Fds,
    Pid,
}

/// One process. `None` is unknown.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Row {
    pub(super) pid: u32,
    pub(super) user: String,
    pub(super) state: Option<char>,
    pub(super) cpu_percent: Option<f64>,
    /// What children used that began and ended within the interval.
    pub(super) short_lived_percent: Option<f64>,
    pub(super) mem_percent: Option<f64>,
    pub(super) rss_bytes: Option<u64>,
    pub(super) threads: Option<u64>,
    pub(super) fds: Option<u64>,
    pub(super) cpu_time_ms: Option<u64>,
    pub(super) command: String,
}

pub(super) fn sorted(table: &Table, memory_bytes: u64, sort: Sort) -> Vec<Row> {
    let mut rows: Vec<Row> = table
        .processes()
        .map(|process| row(process, memory_bytes))
        .collect();
    rows.sort_by(|a, b| compare(a, b, sort));
    rows
}

fn row(process: &Process, memory_bytes: u64) -> Row {
    let value = |column| process.now.get(column);
    let percent = |column| value(column).map(|centi| centi as f64 / 100.0);
    let rss_bytes = value(Column::RssKib).map(|kib| kib * 1024);
    let user = process.credentials.as_ref().map(|credentials| {
        let name = credentials.username.clone();
        name.unwrap_or_else(|| credentials.uid.to_string())
    });
    Row {
        pid: process.life.pid,
        user: user.unwrap_or_else(|| "?".to_owned()),
        state: value(Column::Status).map(|letter| char::from(letter as u8)),
        cpu_percent: percent(Column::CpuCentipercent),
        short_lived_percent: percent(Column::ShortLivedCpuCentipercent),
        mem_percent: rss_bytes
            .filter(|_| memory_bytes > 0)
            .map(|rss| rss as f64 / memory_bytes as f64 * 100.0),
        rss_bytes,
        threads: value(Column::Threads),
        fds: value(Column::OpenFds),
        cpu_time_ms: value(Column::CpuTimeMs),
        command: command(process),
    }
}

/// The arguments, or the name in brackets where there are none, as ps does.
fn command(process: &Process) -> String {
    let text = if process.image.args.is_empty() {
        format!("[{}]", String::from_utf8_lossy(&process.image.name))
    } else {
        String::from_utf8_lossy(process.image.args.bytes().trim_ascii_end()).into_owned()
    };
    printable(text.trim_end_matches('\0'))
}

/// Arguments are anyone's: what could move the cursor or change the terminal is shown as a dot.
fn printable(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            '\0' => ' ',
            letter if letter.is_control() => '·',
            letter => letter,
        })
        .collect()
}

fn compare(a: &Row, b: &Row, sort: Sort) -> Ordering {
    // Unknown is last: `None` is less than any value.
    let order = match sort {
        Sort::Cpu => float(b.cpu_percent).total_cmp(&float(a.cpu_percent)),
        Sort::Mem => b.rss_bytes.cmp(&a.rss_bytes),
        Sort::Time => b.cpu_time_ms.cmp(&a.cpu_time_ms),
        Sort::Threads => b.threads.cmp(&a.threads),
        Sort::Fds => b.fds.cmp(&a.fds),
        Sort::Pid => Ordering::Equal,
    };
    order.then(a.pid.cmp(&b.pid))
}

/// A share of the CPU as something to sort by; unknown is below idle.
fn float(percent: Option<f64>) -> f64 {
    percent.unwrap_or(-1.0)
}

/// For tests of what is drawn.
#[cfg(test)]
pub(super) fn example(pid: u32, cpu_percent: f64, command: &str) -> Row {
    Row {
        pid,
        user: "root".to_owned(),
        cpu_percent: Some(cpu_percent),
        command: command.to_owned(),
        ..Row::default()
    }
}

#[cfg(test)]
mod tests {
    use super::example as row;
    use super::*;

    #[test]
    fn the_largest_is_first_and_unknown_is_last() {
        let unknown = Row {
            cpu_percent: None,
            ..row(1, 0.0, "unknown")
        };
        let mut rows = [
            unknown,
            row(9, 5.0, "b"),
            row(3, 250.0, "a"),
            row(2, 5.0, "c"),
        ];
        rows.sort_by(|a, b| compare(a, b, Sort::Cpu));
        let pids: Vec<u32> = rows.iter().map(|row| row.pid).collect();
        assert_eq!(pids, [3, 2, 9, 1]);
        rows.sort_by(|a, b| compare(a, b, Sort::Pid));
        let pids: Vec<u32> = rows.iter().map(|row| row.pid).collect();
        assert_eq!(pids, [1, 2, 3, 9]);
    }

    #[test]
    fn arguments_cannot_drive_the_terminal() {
        assert_eq!(printable("a\0b\u{1b}[2J\r\n\u{9b}x"), "a b·[2J···x");
    }
}
