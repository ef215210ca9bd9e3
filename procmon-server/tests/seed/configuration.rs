//! The seed's two configuration files, and its agent beside ours.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{binary::sibling, http_client};

const SERVER_YAML: &str = "\
bind_addr: :8080
retention: 1h
eval_interval: 15s
max_snapshots: 7200
persistence: false
db_dsn: postgres://user:pass@postgres:5432/procmon?sslmode=disable
";

const AGENT_YAML: &str = "\
agent_id: agent1
server_url: http://server:8080
interval: 5s
";

const PATIENCE: Duration = Duration::from_mins(1);

/// A folder with both files.
fn files() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("server.yaml"), SERVER_YAML).expect("written");
    std::fs::write(folder.path().join("agent.yaml"), AGENT_YAML).expect("written");
    folder
}

fn server(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_procmon-server"));
    with_file(&mut command, folder, "server.yaml");
    command
}

fn with_file(command: &mut Command, folder: &Path, name: &str) {
    command
        .current_dir(folder)
        .args(["--config", name])
        .stderr(Stdio::piped());
}

/// A program that is stopped when the test is over, and what it says.
struct Running {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                eprintln!("{line}");
                // Nobody listens any more when the test is over.
                let _ = sender.send(line);
            }
        });
        Self { child, lines }
    }

    /// All lines until the one with this.
    fn until(&self, wanted: &str) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            seen.push(line.unwrap_or_else(|_| panic!("it did not say {wanted:?}: {seen:?}")));
            if seen.last().is_some_and(|line| line.contains(wanted)) {
                return seen;
            }
        }
    }

    fn address(&self) -> String {
        let lines = self.until("listening on http://");
        let last = lines.last().expect("a line");
        let (_, address) = last.split_once("http://").expect("an address");
        address.trim().to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_servers_file_meets_the_error_that_names_its_fix() {
    let folder = files();
    let output = server(folder.path()).output().expect("it starts");
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    for told in [
        "server.yaml",
        "0.0.0.0:8080",
        "authentication",
        "insecure_no_auth: true",
    ] {
        assert!(error.contains(told), "{told:?} is not in: {error}");
    }
    assert!(!error.contains("pass@"), "a secret in: {error}");
}

/// In a network of its own: nobody is to reach it, and the port is free there.
#[test]
fn with_the_fix_the_servers_file_works_on_its_own_address() {
    let folder = files();
    let fixed = format!("{SERVER_YAML}insecure_no_auth: true\n");
    std::fs::write(folder.path().join("server.yaml"), fixed).expect("written");
    let mut command = Command::new("unshare");
    if std::fs::metadata("/proc/self").expect("procfs").uid() != 0 {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--net", "--"]);
    command.arg(env!("CARGO_BIN_EXE_procmon-server"));
    with_file(&mut command, folder.path(), "server.yaml");
    let running = Running::start(&mut command);
    let said = running.until("listening on http://0.0.0.0:8080").join("\n");
    for told in ["db_dsn", "persistence is false", "insecure_no_auth"] {
        assert!(said.contains(told), "{told:?} is not in: {said}");
    }
    assert!(!said.contains("pass@"), "a secret in: {said}");
    assert!(
        !folder.path().join("procmon-data").exists(),
        "persistence is false, and yet it stores here"
    );
}

/// The address is another one, everything else is as the files have it.
#[tokio::test]
async fn the_agents_file_reports_to_a_server_with_the_servers_file() {
    let folder = files();
    let server = Running::start(server(folder.path()).args(["--bind-addr", "127.0.0.1:0"]));
    let address = server.address();
    let mut agent = Command::new(sibling("procmon-agent"));
    with_file(&mut agent, folder.path(), "agent.yaml");
    // Of the level that works anywhere, whoever runs this test.
    agent.args(["--probe", "sample", "--spool-dir", "spool"]);
    let _agent = Running::start(agent.args(["--server-url", &format!("http://{address}")]));
    let started = Instant::now();
    let agent = loop {
        let url = format!("http://{address}/api/v1/agents/agent1");
        let answer = http_client().get(url).send().await.expect("an answer");
        if answer.status().is_success() {
            break answer.json::<Value>().await.expect("JSON");
        }
        assert!(started.elapsed() < PATIENCE, "the agent does not report");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(agent["interval_ms"], 5000);
    assert_eq!(agent["status"], "live");
}
