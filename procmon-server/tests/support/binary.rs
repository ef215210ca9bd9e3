//! The real server as a process of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) struct ServerProcess {
    pub(crate) address: String,
    child: Child,
}

impl ServerProcess {
    /// Starts it and waits until it listens. Port 0 takes any.
    pub(crate) fn start(folder: &Path, port: u16) -> Self {
        let folder = folder.to_str().expect("a path in UTF-8");
        Self::start_with(&[("PROCMON_DATA_DIR", folder)], port)
    }

    /// As [`Self::start`], with variables that say where to store.
    pub(crate) fn start_with(variables: &[(&str, &str)], port: u16) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_procmon-server"))
            .args(["--bind-addr", &format!("127.0.0.1:{port}")])
            .envs(variables.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server's binary");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let address = lines
            .by_ref()
            .map(|line| line.expect("a line of the log"))
            .find_map(|line| Some(line.split_once("listening on http://")?.1.to_owned()))
            .expect("the server did not start");
        // Its log goes on into this test's, and never blocks it.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                eprintln!("server: {line}");
            }
        });
        Self { address, child }
    }

    pub(crate) fn port(&self) -> u16 {
        let (_, port) = self.address.rsplit_once(':').expect("an address");
        port.parse().expect("a port")
    }

    /// CPU time so far, user and system, in microseconds.
    pub(crate) fn cpu_us(&self) -> f64 {
        const US_PER_TICK: f64 = 10_000.0;
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = std::fs::read_to_string(path).expect("it runs");
        let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
        // utime and stime are fields 14 and 15; the first after the name is 3.
        let ticks = fields.split_whitespace().skip(11).take(2);
        ticks
            .map(|field| field.parse::<f64>().expect("a number") * US_PER_TICK)
            .sum()
    }

    /// Resident memory.
    pub(crate) fn rss_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        kib.expect("a number") << 10
    }

    /// As a power cut would, for the process.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Waits until it ends by itself; its exit code.
    pub(crate) fn wait(mut self) -> Option<i32> {
        self.child.wait().expect("it ends").code()
    }

    /// SIGTERM; the exit code and how long it took.
    pub(crate) fn terminate(mut self) -> (Option<i32>, Duration) {
        let started = Instant::now();
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(sent.expect("kill").success());
        let status = self.child.wait().expect("it ends");
        (status.code(), started.elapsed())
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // A test that failed leaves nothing behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Another program of the workspace, built into the same folder as the server.
pub(crate) fn sibling(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_procmon-server")).with_file_name(name);
    assert!(
        path.exists(),
        "{} is missing; build it first: cargo build -p {name}",
        path.display()
    );
    path
}

/// All events of a query, oldest first.
pub(crate) async fn all_events(address: &str, query: &str) -> Vec<serde_json::Value> {
    let mut events = Vec::new();
    let mut cursor = String::new();
    loop {
        let url = format!("http://{address}/api/v1/events?limit=10000&cursor={cursor}&{query}");
        let response = crate::support::http_client()
            .get(url)
            .send()
            .await
            .expect("an answer");
        let page: serde_json::Value = response.json().await.expect("JSON");
        events.extend(page["events"].as_array().expect("a list").iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    events.reverse();
    events
}
