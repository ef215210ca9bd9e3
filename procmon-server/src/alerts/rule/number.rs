//! Numbers as the functions of Prometheus' templates write them.

/// The shortest text that is this number, as Go prints it.
pub(super) fn plain(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    if value.is_nan() || (value != 0.0 && !(1e-4..1e21).contains(&value.abs())) {
        return exponent(&format!("{value:e}"));
    }
    format!("{value}")
}

/// As Go's `%.4g`.
pub(super) fn short(value: f64) -> String {
    significant(value, 4)
}

/// So many digits that count.
pub(super) fn significant(value: f64, digits: usize) -> String {
    let digits = digits.max(1);
    if value == 0.0 || !value.is_finite() {
        return plain(value);
    }
    let scientific = format!("{value:.*e}", digits - 1);
    let power: i32 = scientific
        .split_once('e')
        .and_then(|(_, power)| power.parse().ok())
        .unwrap_or(0);
    if power < -4 || power >= digits as i32 {
        let (mantissa, power) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        return exponent(&format!("{}e{power}", without_zeros(mantissa)));
    }
    let decimals = (digits as i32 - 1 - power).max(0) as usize;
    without_zeros(&format!("{value:.decimals$}")).to_owned()
}

fn without_zeros(text: &str) -> &str {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    }
}

/// `1e7` as Go writes it: `1e+07`.
fn exponent(text: &str) -> String {
    let Some((mantissa, power)) = text.split_once('e') else {
        return text.to_owned();
    };
    let (sign, power) = match power.strip_prefix('-') {
        Some(power) => ('-', power),
        None => ('+', power),
    };
    format!("{mantissa}e{sign}{power:0>2}")
}

pub(super) fn humanize(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return short(value);
    }
    let mut scaled = value;
    if value.abs() >= 1.0 {
        let mut prefix = "";
        for next in ["k", "M", "G", "T", "P", "E", "Z", "Y"] {
            if scaled.abs() < 1000.0 {
                break;
            }
            prefix = next;
            scaled /= 1000.0;
        }
        return short(scaled) + prefix;
    }
    let mut prefix = "";
    for next in ["m", "u", "n", "p", "f", "a", "z", "y"] {
        if scaled.abs() >= 1.0 {
            break;
        }
        prefix = next;
        scaled *= 1000.0;
    }
    short(scaled) + prefix
}

pub(super) fn humanize_1024(value: f64) -> String {
    if value.abs() <= 1.0 || !value.is_finite() {
        return short(value);
    }
    let (mut scaled, mut prefix) = (value, "");
    for next in ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"] {
        if scaled.abs() < 1024.0 {
            break;
        }
        prefix = next;
        scaled /= 1024.0;
    }
    short(scaled) + prefix
}

/// Of seconds.
pub(super) fn humanize_duration(value: f64) -> String {
    if !value.is_finite() {
        return short(value);
    }
    if value == 0.0 {
        return "0s".to_owned();
    }
    if value.abs() < 1.0 {
        return humanize(value) + "s";
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let total = value.abs() as u64;
    let (seconds, minutes) = (total % 60, total / 60 % 60);
    let (hours, days) = (total / 3600 % 24, total / 86_400);
    if days > 0 {
        format!("{sign}{days}d {hours}h {minutes}m {seconds}s")
    } else if hours > 0 {
        format!("{sign}{hours}h {minutes}m {seconds}s")
    } else if minutes > 0 {
        format!("{sign}{minutes}m {seconds}s")
    } else {
        format!("{sign}{}s", short(value.abs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_prometheus_writes_them() {
        assert_eq!(plain(95.5), "95.5");
        assert_eq!(plain(3.0), "3");
        assert_eq!(plain(1e21), "1e+21");
        assert_eq!(plain(0.000_01), "1e-05");
        assert_eq!(short(12_345.0), "1.234e+04");
        assert_eq!(short(1.000_04), "1");
        assert_eq!(humanize(1_234_567.0), "1.235M");
        assert_eq!(humanize(0.0), "0");
        assert_eq!(humanize(0.1), "100m");
        assert_eq!(humanize_1024(1_048_576.0), "1Mi");
        assert_eq!(humanize_1024(1024.0), "1ki");
        assert_eq!(humanize_duration(0.001), "1ms");
        assert_eq!(humanize_duration(3601.0), "1h 0m 1s");
        assert_eq!(humanize_duration(90_061.0), "1d 1h 1m 1s");
        assert_eq!(humanize_duration(1.5), "1.5s");
    }
}
