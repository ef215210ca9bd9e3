//! Other monitors, from Debian's packages, in the namespace of the population.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use super::super::ATOP;
use super::{Cost, Stage, scans};
use crate::http;
use crate::prerequisites::UnpackedProgram;
use crate::process_cost::{cpu_ns, rss_bytes};
use crate::sandbox::Inside;

/// How long a program may take to end, or to answer for the first time.
const LIMIT: Duration = Duration::from_secs(20);

pub(super) struct Peer {
    pub(super) name: &'static str,
    program: UnpackedProgram,
    kind: Kind,
}

/// When it scans.
enum Kind {
    /// By its own timer: how to start it.
    Timed(fn(&UnpackedProgram, &Path, &Stage) -> Result<Command>),
    /// When /metrics is asked for.
    Scraped,
}

pub(super) fn all() -> [Peer; 4] {
    [
        Peer {
            name: "netdata apps.plugin",
            program: UnpackedProgram {
                package: "netdata-core",
                program: "usr/lib/netdata/plugins.d/apps.plugin",
                libraries: &["libcap2", "libjson-c5", "libssl3", "libuv1"],
            },
            kind: Kind::Timed(apps_plugin),
        },
        Peer {
            name: "pidstat -rud",
            program: UnpackedProgram {
                package: "sysstat",
                program: "usr/bin/pidstat",
                libraries: &[],
            },
            kind: Kind::Timed(|_, program, stage| {
                let mut command = Command::new(program);
                command.arg("-rud").arg(stage.interval_s.to_string());
                Ok(command)
            }),
        },
        Peer {
            name: "atop -w",
            program: ATOP,
            kind: Kind::Timed(|_, program, stage| {
                let mut command = Command::new(program);
                command.arg("-w").arg(stage.folder.join("atop.raw"));
                command.arg(stage.interval_s.to_string());
                // Without accounting: here nothing ends.
                command.env("ATOPACCT", "");
                Ok(command)
            }),
        },
        Peer {
            name: "process-exporter",
            program: UnpackedProgram {
                package: "prometheus-process-exporter",
                program: "usr/bin/prometheus-process-exporter",
                libraries: &[],
            },
            kind: Kind::Scraped,
        },
    ]
}

/// Its groups of applications are in the package; without them it does not start.
fn apps_plugin(package: &UnpackedProgram, program: &Path, stage: &Stage) -> Result<Command> {
    let mut command = Command::new(program);
    command
        .arg(stage.interval_s.to_string())
        .env("NETDATA_USER_CONFIG_DIR", stage.folder)
        .env(
            "NETDATA_STOCK_CONFIG_DIR",
            package.folder()?.join("usr/lib/netdata/conf.d"),
        );
    Ok(command)
}

impl Peer {
    pub(super) fn measure(&self, stage: &Stage) -> Result<Cost> {
        let program = self.program.ensure()?;
        match self.kind {
            Kind::Timed(start) => self.timed(&start(&self.program, &program, stage)?, stage),
            Kind::Scraped => self.scraped(program, stage),
        }
    }

    fn timed(&self, command: &Command, stage: &Stage) -> Result<Cost> {
        let inside = self.start(command, stage)?;
        let interval = Duration::from_secs(stage.interval_s);
        let scans_ms = scans::observe(inside.pid, stage.scans, interval)
            .with_context(|| inside.service.last_lines(3));
        let rss_bytes = rss_bytes(inside.pid);
        inside.stop(Signal::SIGTERM, LIMIT)?;
        Ok(Cost {
            scans_ms: scans_ms?,
            rss_bytes: rss_bytes?,
            processes: None,
        })
    }

    /// Its output is thrown away by the kernel: reading it would cost us.
    fn start(&self, command: &Command, stage: &Stage) -> Result<Inside> {
        let mut quiet = Command::new("sh");
        quiet.args(["-c", r#"exec "$0" "$@" > /dev/null"#]);
        quiet.arg(command.get_program()).args(command.get_args());
        let variables = command.get_envs();
        quiet.envs(variables.filter_map(|(name, value)| Some((name, value?))));
        let log = stage.folder.join(format!("{}.log", self.program.package));
        stage.sandbox.start_inside(self.name, &quiet, &log)
    }

    /// Every process is a group of its command's name, as in the exporter's own examples.
    fn scraped(&self, program: PathBuf, stage: &Stage) -> Result<Cost> {
        let config = stage.folder.join("process-exporter.yaml");
        let groups = "process_names:\n  - name: \"{{.Comm}}\"\n    cmdline: ['.+']\n";
        fs::write(&config, groups).context("cannot write the exporter's configuration")?;
        let address = free_address()?;
        let mut command = Command::new(program);
        command.arg("-config.path").arg(&config);
        command.args(["-gather-smaps=false", "-threads=false"]);
        command.args(["-web.listen-address", &address]);
        let inside = self.start(&command, stage)?;
        let cost = scrape(&inside, &format!("http://{address}"), stage.scans);
        inside.stop(Signal::SIGTERM, LIMIT)?;
        cost
    }
}

fn scrape(inside: &Inside, url: &str, scans: usize) -> Result<Cost> {
    let deadline = Instant::now() + LIMIT;
    while let Err(error) = http::get(url, "/metrics") {
        if Instant::now() >= deadline {
            bail!("{error:#}: {}", inside.service.last_lines(3));
        }
        thread::sleep(Duration::from_millis(100));
    }
    let mut before = cpu_ns(inside.pid)?;
    let mut scans_ms = Vec::new();
    for _ in 0..=scans {
        thread::sleep(Duration::from_millis(500));
        http::get(url, "/metrics")?;
        let now = cpu_ns(inside.pid)?;
        scans_ms.push((now - before) as f64 / 1e6);
        before = now;
    }
    Ok(Cost {
        // The first one had caches to fill.
        scans_ms: scans_ms.split_off(1),
        rss_bytes: rss_bytes(inside.pid)?,
        processes: None,
    })
}

/// An address on loopback that nobody listens on.
fn free_address() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port on loopback")?;
    Ok(listener.local_addr()?.to_string())
}
