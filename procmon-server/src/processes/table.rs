//! Rows as CSV (RFC 4180).

use std::io::Write;

use super::figures::METRICS;
use super::groups::{Group, GroupBy};
use crate::clock::rfc3339_ns;
use crate::live::ProcessView;
use crate::query::{Kind, Row, Value};

const END_OF_LINE: &[u8] = b"\r\n";

/// Whether a field has a column. The arguments one by one are in `cmdline`.
fn has_column(kind: Kind) -> bool {
    kind != Kind::Texts
}

pub(super) fn write_head(out: &mut Vec<u8>) {
    let fields = ProcessView::fields();
    let names = fields
        .iter()
        .filter(|field| has_column(field.kind))
        .map(|field| field.name);
    write_line(names, out);
}

pub(super) fn write_row(view: &ProcessView<'_>, out: &mut Vec<u8>) {
    let mut first = true;
    for (index, field) in ProcessView::fields().iter().enumerate() {
        if !has_column(field.kind) {
            continue;
        }
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        write_value(&view.value(index), out);
    }
    out.extend_from_slice(END_OF_LINE);
}

/// Groups with a line of names above them.
pub(super) fn groups(by: &GroupBy, groups: &[Group]) -> Vec<u8> {
    let mut out = Vec::new();
    let names = by.names().chain(["count"]).map(str::to_owned);
    let sums = METRICS.iter().map(|metric| format!("sum.{metric}"));
    let maxima = METRICS.iter().map(|metric| format!("max.{metric}"));
    write_line(names.chain(sums).chain(maxima), &mut out);
    for group in groups {
        for shared in group.shared() {
            write_text(&shared.unwrap_or_default(), &mut out);
            out.push(b',');
        }
        write_plain(group.tally.count, &mut out);
        let metrics = 0..METRICS.len();
        let sums = metrics.clone().map(|metric| group.tally.sum(metric));
        for figure in sums.chain(metrics.map(|metric| group.tally.max(metric))) {
            out.push(b',');
            if let Some(figure) = figure {
                write_plain(figure, &mut out);
            }
        }
        out.extend_from_slice(END_OF_LINE);
    }
    out
}

fn write_line(cells: impl Iterator<Item = impl AsRef<str>>, out: &mut Vec<u8>) {
    for (index, cell) in cells.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_text(cell.as_ref(), out);
    }
    out.extend_from_slice(END_OF_LINE);
}

/// Unknown is an empty cell.
fn write_value(value: &Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Unknown | Value::Object | Value::Texts(_) => {}
        Value::Bool(value) => write_plain(value, out),
        Value::Int(value) => write_plain(value, out),
        Value::Double(value) => write_plain(value, out),
        Value::Time(unix_ns) => write_plain(rfc3339_ns(*unix_ns), out),
        Value::Ints(numbers) => {
            let numbers: Vec<_> = numbers.iter().map(u16::to_string).collect();
            write_plain(numbers.join(" "), out);
        }
        Value::Text(text) => write_text(&text.shown(), out),
    }
}

fn write_plain(value: impl std::fmt::Display, out: &mut Vec<u8>) {
    // A vector takes all that is written to it.
    let _ = write!(out, "{value}");
}

/// Text that a spreadsheet would calculate gets an apostrophe in front: arguments are whatever somebody started.
fn write_text(text: &str, out: &mut Vec<u8>) {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let quoted = text.contains(['"', ',', '\r', '\n']);
    if quoted {
        out.push(b'"');
    }
    if formula {
        out.push(b'\'');
    }
    for byte in text.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    if quoted {
        out.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(text: &str) -> String {
        let mut out = Vec::new();
        write_text(text, &mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn cells_are_data() {
        assert_eq!(cell("plain text"), "plain text");
        assert_eq!(cell("a,\"b\"\n"), "\"a,\"\"b\"\"\n\"");
        assert_eq!(cell("=1+1"), "'=1+1");
        assert_eq!(cell("-bash, x"), "\"'-bash, x\"");
    }
}
