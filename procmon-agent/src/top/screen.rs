//! What is drawn: a head about the host, then a table, cut to the size of the terminal.

use std::io::{self, Write};

use procmon_common::wire::HostTotals;

use super::rows::{Row, Sort};

/// Columns and lines.
pub(super) type Size = (usize, usize);

/// Lines before the first process.
const HEAD_LINES: usize = 4;

/// All of it, before it is cut.
pub(super) struct Page {
    pub(super) head: [String; HEAD_LINES],
    pub(super) lines: Vec<String>,
}

/// What the keys do, on a table that is refreshed.
const KEYS: &str = ": c cpu, m memory, t time, h threads, f fds, p pid, q quit";

pub(super) fn page(host: &HostTotals, rows: &[Row], sort: Sort, has_keys: bool) -> Page {
    let count = |state: char| rows.iter().filter(|row| row.state == Some(state)).count();
    let load = [host.load1_centi, host.load5_centi, host.load15_centi]
        .map(|centi| format!("{:.2}", f64::from(centi) / 100.0))
        .join(" ");
    let cpu = host.cpu_centipercent.map_or_else(
        || "?".to_owned(),
        |centi| format!("{:.1}%", f64::from(centi) / 100.0),
    );
    let used = |total: u64, available: u64| {
        let used = total.saturating_sub(available);
        format!("{} of {}", size(used), size(total))
    };
    let summary = format!(
        "processes {}, running {}, zombies {}   load {load}   cpu {cpu} of {} cores",
        rows.len(),
        count('R'),
        count('Z'),
        host.cpus,
    );
    let swap_free = host.swap_total_bytes.saturating_sub(host.swap_used_bytes);
    let memory = format!(
        "memory {}   swap {}   sorted by {}{}",
        used(host.memory_total_bytes, host.memory_available_bytes),
        used(host.swap_total_bytes, swap_free),
        name(sort),
        if has_keys { KEYS } else { "" },
    );
    let has_short_lived = rows.iter().any(|row| row.short_lived_percent.is_some());
    Page {
        head: [summary, memory, String::new(), head(has_short_lived)],
        lines: rows.iter().map(|row| line(row, has_short_lived)).collect(),
    }
}

fn name(sort: Sort) -> &'static str {
    match sort {
        Sort::Cpu => "cpu",
        Sort::Mem => "memory",
        Sort::Time => "time",
        Sort::Threads => "threads",
        Sort::Fds => "fds",
        Sort::Pid => "pid",
    }
}

fn head(has_short_lived: bool) -> String {
    let short = if has_short_lived { " SHORT%" } else { "" };
    format!(
        "{:>7} {:<10} S {:>6}{short} {:>5} {:>7} {:>4} {:>5} {:>9} COMMAND",
        "PID", "USER", "CPU%", "MEM%", "RSS", "THR", "FDS", "TIME"
    )
}

fn line(row: &Row, has_short_lived: bool) -> String {
    let short = if has_short_lived {
        format!(" {:>6}", percent(row.short_lived_percent))
    } else {
        String::new()
    };
    format!(
        "{:>7} {:<10} {} {:>6}{short} {:>5} {:>7} {:>4} {:>5} {:>9} {}",
        row.pid,
        fit(&row.user, 10),
        row.state.unwrap_or('?'),
        percent(row.cpu_percent),
        percent(row.mem_percent),
        row.rss_bytes.map_or_else(unknown, size),
        row.threads.map_or_else(unknown, |count| count.to_string()),
        row.fds.map_or_else(unknown, |count| count.to_string()),
        row.cpu_time_ms.map_or_else(unknown, time),
        row.command,
    )
}

fn unknown() -> String {
    "?".to_owned()
}

fn percent(value: Option<f64>) -> String {
    value.map_or_else(unknown, |percent| format!("{percent:.1}"))
}

/// Three digits are enough to compare.
fn size(bytes: u64) -> String {
    let mut value = bytes as f64 / 1024.0;
    for unit in ["K", "M", "G"] {
        if value < 1000.0 {
            let digits = usize::from(value < 10.0 && unit != "K");
            return format!("{value:.digits$}{unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.1}T")
}

/// Minutes, seconds and hundredths as top writes them, hours where they would not fit.
fn time(ms: u64) -> String {
    let (minutes, seconds) = (ms / 60_000, ms / 1000 % 60);
    if minutes < 1000 {
        format!("{minutes}:{seconds:02}.{:02}", ms / 10 % 100)
    } else {
        format!("{}h{:02}m", minutes / 60, minutes % 60)
    }
}

/// Cuts to a number of characters, with a sign that something is missing.
fn fit(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    cut.push('+');
    cut
}

/// Once, as plain text; whole where it is not for a terminal.
pub(super) fn print(
    out: &mut impl Write,
    page: &Page,
    size: Option<Size>,
    rows: Option<usize>,
) -> io::Result<()> {
    let (width, height) = size.unwrap_or((usize::MAX, usize::MAX));
    let rows = rows.unwrap_or(height.saturating_sub(HEAD_LINES + 1));
    for line in page.head.iter().chain(page.lines.iter().take(rows)) {
        writeln!(out, "{}", fit(line.trim_end(), width))?;
    }
    out.flush()
}

/// Over what was there before, without flicker: lines are replaced one by one, and what is left below is cleared.
pub(super) fn refresh(
    out: &mut impl Write,
    page: &Page,
    size: Option<Size>,
    rows: Option<usize>,
) -> io::Result<()> {
    let Some((width, height)) = size else {
        print(out, page, None, rows)?;
        return writeln!(out);
    };
    let rows = rows.map_or(usize::MAX, |rows| rows + HEAD_LINES);
    let mut text = String::from("\x1b[H");
    let lines = page.head.iter().chain(&page.lines);
    for (number, line) in lines.take(rows.min(height)).enumerate() {
        if number > 0 {
            text.push_str("\r\n");
        }
        text.push_str(&fit(line, width));
        text.push_str("\x1b[K");
    }
    text.push_str("\x1b[J");
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::rows::example as row;

    fn shown(size: Option<Size>, rows: Option<usize>) -> String {
        let host = HostTotals {
            cpus: 2,
            memory_total_bytes: 8 << 30,
            memory_available_bytes: 6 << 30,
            cpu_centipercent: Some(15_000),
            ..HostTotals::default()
        };
        let all = [
            Row {
                state: Some('R'),
                mem_percent: Some(1.25),
                rss_bytes: Some(100 << 20),
                threads: Some(8),
                fds: None,
                cpu_time_ms: Some(61_230),
                ..row(4711, 150.04, "/usr/bin/java -jar a-very-long-command.jar")
            },
            row(1, 0.0, "init"),
        ];
        let mut out = Vec::new();
        print(&mut out, &page(&host, &all, Sort::Cpu, false), size, rows).expect("writes");
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn a_table() {
        let text = shown(None, None);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "processes 2, running 1, zombies 0   load 0.00 0.00 0.00   cpu 150.0% of 2 cores"
        );
        assert_eq!(
            lines[1],
            "memory 2.0G of 8.0G   swap 0K of 0K   sorted by cpu"
        );
        assert_eq!(
            lines[3],
            "    PID USER       S   CPU%  MEM%     RSS  THR   FDS      TIME COMMAND"
        );
        assert_eq!(
            lines[4],
            "   4711 root       R  150.0   1.2    100M    8     ?   1:01.23 /usr/bin/java -jar a-very-long-command.jar"
        );
        assert_eq!(lines.len(), 6);
    }

    #[test]
    fn it_fits_the_terminal() {
        let text = shown(Some((60, 6)), None);
        assert_eq!(text.lines().count(), 5, "one line is for the prompt");
        assert!(
            text.lines().all(|line| line.chars().count() <= 60),
            "{text}"
        );
        assert_eq!(shown(Some((60, 40)), Some(1)).lines().count(), 5);
    }

    #[test]
    fn sizes_and_times() {
        for (bytes, expected) in [
            (0, "0K"),
            (999 << 10, "999K"),
            (1000 << 10, "1.0M"),
            (5 << 40, "5.0T"),
        ] {
            assert_eq!(size(bytes), expected);
        }
        assert_eq!(
            (time(59_999), time(1000 * 60_000)),
            ("0:59.99".into(), "16h40m".into())
        );
    }
}
