//! YAML in an argument: where an entry begins, and block scalars, `password: |` with the secret on the lines below.

use std::ops::Range;

use super::word::is_quote;

/// Whether a colon assigns to a name with this before it: at the begin of a line or of an argument, or in braces.
pub(super) fn begins_entry(before: &[u8]) -> bool {
    let assigns = |byte: &u8| is_quote(*byte) || matches!(byte, b'\n' | b'{' | b',');
    let indents = |byte: &&u8| matches!(**byte, b' ' | b'\t' | b'-');
    match before.last() {
        Some(b' ' | b'\t') => before
            .iter()
            .rev()
            .find(|byte| !indents(byte))
            .is_some_and(|byte| assigns(byte) && !is_quote(*byte)),
        last => last.is_none_or(assigns),
    }
}

/// Whether what follows the colon says that the value is in the lines below: `|`, `>-`, `|2`.
pub(super) fn opens_block(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    let mark = |byte: &u8| matches!(byte, b'-' | b'+' | b'0'..=b'9');
    matches!(text.first(), Some(b'|' | b'>')) && text.len() <= 3 && text[1..].iter().all(mark)
}

/// The lines after `line_end` that are indented deeper than the name is.
pub(super) fn block(
    args: &[u8],
    argument: Range<usize>,
    name: usize,
    line_end: usize,
) -> Option<Range<usize>> {
    let text = &args[..argument.end];
    let line = text[argument.start..name]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(argument.start, |end| argument.start + end + 1);
    let indent = name - line;
    let mut end = line_end;
    while end < text.len() {
        let next = &text[end + 1..];
        let next = &next[..next
            .iter()
            .position(|byte| *byte == b'\n')
            .unwrap_or(next.len())];
        let spaces = next.iter().take_while(|byte| **byte == b' ').count();
        if spaces <= indent && spaces < next.len() {
            break;
        }
        end += 1 + next.len();
    }
    let begins = |byte: &u8| !byte.is_ascii_whitespace();
    let start = line_end + text[line_end..end].iter().position(begins)?;
    Some(start..end)
}
