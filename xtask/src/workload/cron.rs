//! What cron does on a server: shells that start many short utilities and pipe them together, the same few scripts again and
//! again.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Scripts that run at a time, and the pause between two.
const WORKERS: usize = 2;
const PAUSE: Duration = Duration::from_millis(300);

/// They read what every system has, and write nothing.
const SCRIPTS: [&str; 6] = [
    "test -x /bin/sh && ls /etc | grep -v '^#' | sort | uniq -c | wc -l",
    "for part in apt dpkg logrotate man-db; do ls -d /etc/$part /etc/cron.daily/$part 2>/dev/null | head -n 1; done",
    "date +%F >/dev/null; uname -r; id -un; cat /proc/loadavg | cut -d ' ' -f 1",
    "df -P / | tail -n 1 | awk '{print $5}' | tr -d %; stat -c %s /etc/passwd; basename /etc/passwd .db",
    "find /etc -maxdepth 1 -name '*.conf' -newer /etc/passwd | head -n 5; expr 1 + 2; sleep 0.02",
    "sed -n 's/^MemAvailable: *//p' /proc/meminfo; env -i /bin/true --report /etc/cron.hourly; dirname /etc/cron.d/x; md5sum /etc/passwd",
];

/// Scripts, one after the other, until it is dropped.
pub(super) struct Scripts {
    stop: Arc<AtomicBool>,
    workers: Vec<thread::JoinHandle<()>>,
}

impl Scripts {
    pub(super) fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let workers = (0..WORKERS).map(|worker| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                for script in SCRIPTS.iter().cycle().skip(worker) {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    if let Err(error) = run(script) {
                        eprintln!("{error:#}");
                        return;
                    }
                    thread::sleep(PAUSE);
                }
            })
        });
        Self {
            workers: workers.collect(),
            stop,
        }
    }
}

impl Drop for Scripts {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

fn run(script: &str) -> Result<()> {
    let status = Command::new("/bin/sh")
        .args(["-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("cannot start a shell")?;
    if !status.success() {
        bail!("{script}: {status}");
    }
    Ok(())
}
