//! Requests made up from the OpenAPI document, against a fresh server with some processes on it: whatever is asked, no answer
//! is a server error.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::tally::Tally;
use crate::check::build_debug;
use crate::pair::{self, Setup};
use crate::prerequisites::python_tool;
use crate::service::Echo;
use crate::{command, http};

const VERSION: &str = "4.32.5";
/// Requests for each operation.
const EXAMPLES: &str = "100";
/// The same requests every time: a change of the server fails the test, not the day.
const SEED: &str = "4";
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// A list as a script sends it, so that there is something to ask for.
const UPLOAD: &str = r#"{"agent_id":"schemathesis","interval_s":5,"samples":[
    {"pid":1,"ppid":0,"name":"init","cmdline":"/sbin/init","username":"root","status":"S","cpu_percent":0.5,
     "memory_rss":4096000,"memory_percent":0.1,"num_threads":1},
    {"pid":7,"ppid":1,"name":"demo","cmdline":"/usr/bin/demo --flag","username":"alice","status":"R","cpu_percent":62.5,
     "memory_rss":2048000,"memory_percent":0.4,"num_threads":5,"open_fds":3,"net_conns":1,"ports":[8080]}]}"#;

pub(super) fn run() -> Result<Tally> {
    let program = python_tool("schemathesis", VERSION)?;
    build_debug()?;
    let folder = tempfile::tempdir().context("cannot make a data folder")?;
    let setup = Setup {
        binaries: &pair::binaries("debug")?,
        bind_addr: "127.0.0.1:0",
        data_dir: folder.path(),
        agent_id: None,
        agent_arguments: &[],
        agent_environment: &[],
        echo: Echo::Off,
    };
    let (url, mut server) = setup.start_server()?;
    http::post_json(&url, "/api/v1/agents/schemathesis/processes", UPLOAD)?;
    let mut requests = Command::new(program);
    requests
        .current_dir(folder.path())
        .arg("run")
        .arg(format!("{url}/api/v1/openapi.json"))
        // Streams have no end; they have tests of their own.
        .args(["--exclude-path", "/api/v1/live"])
        .args(["--exclude-path", "/api/v1/events/stream"])
        // Protobuf is beyond it; fuzz targets and property tests send that.
        .args(["--exclude-path", "/api/v1/agents/{agent_id}/batches"])
        .args(["--checks", "not_a_server_error"])
        .args(["--max-examples", EXAMPLES, "--seed", SEED])
        .args(["--request-timeout", "30", "--workers", "1", "--no-color"]);
    let outcome = command::run(&mut requests);
    server.require_running()?;
    if outcome.is_err() {
        println!("server:\n{}", server.last_lines(40));
    }
    server.stop(STOP_LIMIT)?;
    if outcome.is_err() {
        bail!("the server failed at a request; schemathesis says above which");
    }
    Ok(Tally::one())
}
