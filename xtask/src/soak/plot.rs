//! The readings as a picture: charts below each other, in SVG.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::readings::Reading;

const WIDTH: f64 = 900.0;
const CHART_HEIGHT: f64 = 150.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
/// Between two charts, for titles and legends.
const GAP: f64 = 50.0;
const COLOURS: [&str; 2] = ["#2563eb", "#d97706"];
const MIB: f64 = (1 << 20) as f64;

struct Line {
    name: &'static str,
    read: fn(&Reading) -> f64,
}

struct Chart {
    title: &'static str,
    lines: &'static [Line],
}

const CHARTS: [Chart; 5] = [
    Chart {
        title: "resident memory, MiB",
        lines: &[
            Line {
                name: "agent",
                read: |r| r.agent.rss_bytes as f64 / MIB,
            },
            Line {
                name: "server",
                read: |r| r.server.rss_bytes as f64 / MIB,
            },
        ],
    },
    Chart {
        title: "open files",
        lines: &[
            Line {
                name: "agent",
                read: |r| r.agent.files as f64,
            },
            Line {
                name: "server",
                read: |r| r.server.files as f64,
            },
        ],
    },
    Chart {
        title: "disk, MiB",
        lines: &[
            Line {
                name: "spool",
                read: |r| r.agent.disk_bytes as f64 / MIB,
            },
            Line {
                name: "store",
                read: |r| r.server.disk_bytes as f64 / MIB,
            },
        ],
    },
    Chart {
        title: "processes on this host",
        lines: &[Line {
            name: "processes",
            read: |r| r.processes as f64,
        }],
    },
    Chart {
        title: "CPU seconds since the start",
        lines: &[
            Line {
                name: "agent",
                read: |r| r.agent.cpu_s,
            },
            Line {
                name: "server",
                read: |r| r.server.cpu_s,
            },
        ],
    },
];

pub(super) fn write(readings: &[Reading], path: &Path) -> Result<()> {
    fs::write(path, svg(readings)?).with_context(|| format!("cannot write {}", path.display()))
}

fn svg(readings: &[Reading]) -> Result<String> {
    let height = (CHART_HEIGHT + GAP) * CHARTS.len() as f64 + GAP;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (number, chart) in CHARTS.iter().enumerate() {
        let top = GAP + (CHART_HEIGHT + GAP) * number as f64;
        draw(&mut svg, chart, readings, top)?;
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

fn draw(svg: &mut String, chart: &Chart, readings: &[Reading], top: f64) -> Result<()> {
    let highest = |read: fn(&Reading) -> f64| readings.iter().map(read).fold(0.0, f64::max);
    let values = chart.lines.iter().map(|line| highest(line.read));
    let most = round_up(values.fold(0.0, f64::max));
    let seconds = highest(|reading| reading.elapsed_s).max(1.0);
    let bottom = top + CHART_HEIGHT;
    let x = |value: f64| LEFT + value / seconds * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| bottom - value / most * CHART_HEIGHT;
    writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"{}\" font-weight=\"bold\">{}</text>",
        top - 10.0,
        chart.title
    )?;
    for share in [0.0, 0.5, 1.0] {
        let (value, label) = (most * share, LEFT - 8.0);
        let (line, right) = (y(value), WIDTH - RIGHT);
        writeln!(
            svg,
            "<path d=\"M{LEFT} {line:.1}H{right}\" stroke=\"#ddd\"/>\
             <text x=\"{label}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#666\">{:.0} s</text>",
            line + 4.0,
            x(seconds * share),
            bottom + 15.0,
            seconds * share
        )?;
    }
    for (number, (line, colour)) in chart.lines.iter().zip(COLOURS).enumerate() {
        let points: Vec<String> = readings
            .iter()
            .map(|reading| format!("{:.1},{:.1}", x(reading.elapsed_s), y((line.read)(reading))))
            .collect();
        writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{}\"/>\
             <text x=\"{}\" y=\"{}\" fill=\"{colour}\">{}</text>",
            points.join(" "),
            WIDTH - 160.0 + 80.0 * number as f64,
            top - 10.0,
            line.name
        )?;
    }
    Ok(())
}

/// To 1, 2 or 5 times a power of ten.
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(1.0).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    steps
        .into_iter()
        .find(|step| *step >= value)
        .unwrap_or(power * 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_a_point_for_every_reading() {
        let readings = [
            Reading::default(),
            Reading {
                elapsed_s: 5.0,
                ..Reading::default()
            },
        ];
        let svg = svg(&readings).unwrap();
        assert_eq!(svg.matches("<polyline").count(), 9);
        assert_eq!(svg.matches("points=\"70.0,").count(), 9, "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn axes_end_at_round_numbers() {
        let rounded = [0.0, 1.2, 37.0, 99.0].map(round_up);
        assert_eq!(rounded.map(|value| value as u32), [1, 2, 50, 100]);
    }
}
