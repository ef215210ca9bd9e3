//! `docs/metrics.md`.

use std::fmt::Write;

use super::Reject;
use super::families::SECTIONS;
use super::family::table;

const INTRODUCTION: &str = "# Metrics

`GET /metrics` answers OpenMetrics 1.0 to who asks for it (`Accept: application/openmetrics-text`, as Prometheus does), and the text
format 0.0.4 to everybody else. Units are base units: seconds, bytes, ratios. Nothing has a pid, a command line or a user as a label.
This page is made by `procmon-server metrics` and checked by a test.

```yaml
scrape_configs:
  - job_name: procmon
    static_configs: [{targets: ['127.0.0.1:8080']}]
```

**How many series.** Per host some 25, up to 8 for states, up to 64 devices with 5 operations (15 series each) where there is block I/O, one for
each kind and reason of drops, and 5 for each process group that is shown. Groups are named by their processes' `name`. The
`metrics_groups` (10 unless configured; 0 shows none) largest of a host are shown by themselves, all others as `other`, so that the sum over
`name` is the sum over all processes. Large is who uses the greatest share of the host's CPU and memory together; who is shown stays until it
is no longer among the largest twice as many, so that series do not come and go with every scrape. A host that is silent for so long that its
processes are no longer listed has no series but those of its agent.

What is unknown has no sample: it is never shown as 0. `_total` counters of agents begin anew with the agent, those of hosts and of the server
with the server.
";

const REASONS: &str = "
Reasons of `procmon_ingest_rejects_total`, and what answers them:
";

/// The whole page.
pub fn page() -> String {
    let mut out = String::from(INTRODUCTION);
    for (title, families) in SECTIONS {
        let _ = write!(out, "\n## {title}\n\n{}", table(families));
        if title == "Ingest" {
            out.push_str(REASONS);
            out.push_str("\n| reason | status | meaning |\n|---|---|---|\n");
            for reject in Reject::ALL {
                let (status, meaning) = reject.meaning();
                let _ = writeln!(out, "| `{}` | {status} | {meaning} |", reject.name());
            }
        }
    }
    out
}
