//! Durations and byte sizes as people write them.

use std::time::Duration;

/// Longest duration accepted: a hundred years, so that adding one to a clock never overflows.
pub const MAX_DURATION: Duration = Duration::from_hours(100 * 365 * 24);

const DURATION_UNITS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("h", 3_600 * 1_000_000_000),
    ("d", 86_400 * 1_000_000_000),
    ("w", 7 * 86_400 * 1_000_000_000),
];

const BYTE_UNITS: &[(&str, u64)] = &[
    ("", 1),
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Reads `15s`, `250ms`, `1h30m`, `1.5s`, `7d` or `0`. `None` when it is none of these, or longer than [`MAX_DURATION`].
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total_ns = 0_u128;
    while !rest.is_empty() {
        let (number, after) = split_number(rest)?;
        let unit_length = after
            .find(|letter: char| letter.is_ascii_digit() || letter == '.')
            .unwrap_or(after.len());
        let (unit, remaining) = after.split_at(unit_length);
        total_ns = total_ns.checked_add(scale(number, unit, DURATION_UNITS)?)?;
        rest = remaining;
    }
    if total_ns > MAX_DURATION.as_nanos() {
        return None;
    }
    Some(Duration::from_nanos_u128(total_ns))
}

/// Reads `256MiB` (powers of 1024), `1GB` (powers of 1000), `1.5GiB` or a plain number of bytes.
pub fn parse_byte_size(text: &str) -> Option<u64> {
    let (number, after) = split_number(text.trim())?;
    scale(number, after.trim_start(), BYTE_UNITS)?
        .try_into()
        .ok()
}

/// Splits off the leading digits, with at most one point between digits.
fn split_number(text: &str) -> Option<(&str, &str)> {
    let length = text
        .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .unwrap_or(text.len());
    let (number, rest) = text.split_at(length);
    let well_formed = !number.is_empty()
        && !number.starts_with('.')
        && !number.ends_with('.')
        && number.matches('.').count() <= 1;
    well_formed.then_some((number, rest))
}

/// `number` times the unit, in whole smallest units (a finer fraction is cut).
fn scale(number: &str, unit: &str, units: &[(&str, u64)]) -> Option<u128> {
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    let factor = u128::from(*factor);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u128 = whole.parse().ok()?;
    // Eighteen digits are finer than any unit needs, and cannot overflow below.
    let fraction = &fraction[..fraction.len().min(18)];
    let fraction_value: u128 = if fraction.is_empty() {
        0
    } else {
        fraction.parse().ok()?
    };
    let fraction_part = fraction_value * factor / 10_u128.pow(fraction.len() as u32);
    whole.checked_mul(factor)?.checked_add(fraction_part)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations() {
        for (text, expected_ms) in [
            ("0", 0),
            ("0s", 0),
            ("15s", 15_000),
            ("250ms", 250),
            ("1h", 3_600_000),
            ("1h30m", 5_400_000),
            ("1.5s", 1_500),
            (" 7d ", 604_800_000),
            ("2w", 1_209_600_000),
            ("1m0.5s", 60_500),
        ] {
            assert_eq!(
                parse_duration(text),
                Some(Duration::from_millis(expected_ms)),
                "{text}"
            );
        }
        assert_eq!(parse_duration("3us"), Some(Duration::from_micros(3)));
        for bad in [
            "",
            "5",
            "s",
            "-5s",
            "1 h",
            "5 s",
            "1h30",
            "1..5s",
            ".5s",
            "5.s",
            "5sec",
            "1e3s",
            "101000d",
            "99999999999999999999999999999999999999999h",
        ] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn byte_sizes() {
        for (text, expected) in [
            ("0", 0),
            ("4096", 4096),
            ("256MiB", 256 << 20),
            ("1GB", 1_000_000_000),
            ("1 GiB", 1 << 30),
            ("1.5KiB", 1536),
            ("10B", 10),
            ("1kB", 1000),
        ] {
            assert_eq!(parse_byte_size(text), Some(expected), "{text}");
        }
        for bad in ["", "MiB", "-1", "1M", "1mib", "1e6", "99999999TiB", "1MiB2"] {
            assert_eq!(parse_byte_size(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            let _ = parse_duration(&text);
            let _ = parse_byte_size(&text);
        }

        #[test]
        fn digits_and_units_never_overflow(text in "[0-9.]{0,45}(ns|us|ms|s|m|h|d|w|[KMGT]iB){0,3}") {
            let _ = parse_duration(&text);
            let _ = parse_byte_size(&text);
        }
    }
}
