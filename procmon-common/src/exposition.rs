//! Metrics as text: what a client asks for, and the text format 0.0.4 for clients that do not ask for OpenMetrics.

use std::fmt::Write;

pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
pub const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The format that an `Accept` header asks for: its content type, and the metrics in it.
pub fn negotiate(accept: Option<&str>, openmetrics: String) -> (&'static str, String) {
    if accept.is_some_and(prefers_openmetrics) {
        (OPENMETRICS, openmetrics)
    } else {
        (CLASSIC, classic(&openmetrics))
    }
}

/// Whether OpenMetrics is asked for, and no less than the older format. Who takes anything gets the older one.
fn prefers_openmetrics(accept: &str) -> bool {
    let quality = |wanted: &str| {
        let ranges = accept.split(',').map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let media_type = parts.next().unwrap_or_default();
            let weight = parts.find_map(|part| part.strip_prefix("q=")?.trim().parse::<f32>().ok());
            (media_type, weight.unwrap_or(1.0))
        });
        let fitting = ranges.filter(|(media_type, _)| media_type.eq_ignore_ascii_case(wanted));
        fitting.map(|(_, weight)| weight).fold(0.0, f32::max)
    };
    let openmetrics = quality("application/openmetrics-text");
    openmetrics > 0.0 && openmetrics >= quality("text/plain")
}

/// OpenMetrics text in the format 0.0.4: there a family has the name of its samples, types are fewer, and neither units nor
/// an end are written.
fn classic(openmetrics: &str) -> String {
    let mut out = String::with_capacity(openmetrics.len());
    let mut help = ("", "");
    for line in openmetrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').unwrap_or((rest, ""));
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, "untyped"));
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                kind => ("", kind),
            };
            if help.0 == name {
                let _ = writeln!(out, "# HELP {name}{suffix} {}", help.1);
            }
            let _ = writeln!(out, "# TYPE {name}{suffix} {kind}");
        } else if !line.starts_with('#') {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_given() {
        for (accept, expected) in [
            ("application/openmetrics-text; version=1.0.0", true),
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                true,
            ),
            (
                "text/plain;version=0.0.4, application/openmetrics-text;q=0.2",
                false,
            ),
            ("application/openmetrics-text;q=0", false),
            ("text/plain", false),
            ("*/*", false),
            ("", false),
        ] {
            assert_eq!(prefers_openmetrics(accept), expected, "{accept}");
        }
    }

    #[test]
    fn classic_text_names_families_as_their_samples() {
        let openmetrics = "# HELP a Things.\n# TYPE a counter\n# UNIT a bytes\na_total{x=\"1\"} 2\n\
            # HELP b Build.\n# TYPE b info\nb_info{v=\"1\"} 1\n# EOF\n";
        assert_eq!(
            classic(openmetrics),
            "# HELP a_total Things.\n# TYPE a_total counter\na_total{x=\"1\"} 2\n\
             # HELP b_info Build.\n# TYPE b_info gauge\nb_info{v=\"1\"} 1\n"
        );
    }
}
