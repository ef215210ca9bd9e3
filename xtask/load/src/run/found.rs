//! What the API shows of a run, read with a deserializer of the few fields that are counted.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use procmon_load::connection::Connection;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Attempts at a page over a connection that breaks.
const ATTEMPTS: u32 = 3;
/// How long a server may ask to come back later: it catches up with what it was sent.
const PUT_OFF_LIMIT: Duration = Duration::from_mins(2);
/// Where it does not say when.
const PUT_OFF_PAUSE: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
pub(super) struct EventPage<'a> {
    #[serde(borrow)]
    pub(super) events: Vec<Event<'a>>,
    #[serde(borrow)]
    pub(super) next_cursor: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
pub(super) struct Event<'a> {
    #[serde(borrow)]
    pub(super) agent_id: Cow<'a, str>,
    pub(super) pid: Option<u32>,
    pub(super) exit_code: Option<u32>,
    pub(super) signal: Option<u32>,
}

#[derive(Deserialize)]
pub(super) struct Agents {
    pub(super) agents: Vec<Agent>,
}

#[derive(Deserialize)]
pub(super) struct Agent {
    pub(super) agent_id: String,
    pub(super) processes: usize,
}

#[derive(Deserialize)]
pub(super) struct Processes {
    pub(super) processes: Vec<Process>,
}

#[derive(Deserialize)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) cpu_time_ms: Option<u64>,
    pub(super) memory_rss: Option<u64>,
    pub(super) voluntary_switches: Option<u64>,
    pub(super) minor_faults: Option<u64>,
}

#[derive(Deserialize)]
pub(super) struct History {
    pub(super) points: Vec<serde_json::Value>,
}

/// The body of a page below /api/v1; `None` when there is no such page. Who is asked to come back later does.
pub(super) async fn page(connection: &mut Connection, path: &str) -> Result<Option<Vec<u8>>> {
    let started = Instant::now();
    let mut broken = 0;
    loop {
        let answer = match connection.get(&format!("/api/v1{path}")).await {
            Ok(answer) => answer,
            Err(_) if broken + 1 < ATTEMPTS => {
                broken += 1;
                continue;
            }
            Err(error) => return Err(error).with_context(|| path.to_owned()),
        };
        match answer.status {
            200 => return Ok(Some(answer.body)),
            404 => return Ok(None),
            429 | 503 if started.elapsed() < PUT_OFF_LIMIT => {
                let told = answer.retry_after.map(Duration::from_secs);
                let pause = told.map_or(PUT_OFF_PAUSE, |told| told.min(PUT_OFF_LIMIT));
                tokio::time::sleep(pause).await;
            }
            status => bail!("{path}: {status} {}", String::from_utf8_lossy(&answer.body)),
        }
    }
}

pub(super) async fn read<T: DeserializeOwned>(
    connection: &mut Connection,
    path: &str,
) -> Result<Option<T>> {
    let Some(body) = page(connection, path).await? else {
        return Ok(None);
    };
    let read =
        serde_json::from_slice(&body).with_context(|| format!("{path} is not what it was"))?;
    Ok(Some(read))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const LATER: &str =
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n";
    const FOUND: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]";
    const REFUSED: &str = "HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nwhy";

    #[tokio::test]
    async fn a_page_is_asked_for_again_when_the_server_says_so() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            for answer in [LATER, LATER, FOUND, REFUSED] {
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await.expect("a request");
                stream.write_all(answer.as_bytes()).await.expect("sent");
            }
        });
        let mut connection = Connection::new(&address);
        let found = page(&mut connection, "/events").await.expect("an answer");
        assert_eq!(found, Some(b"[]".to_vec()));
        let refused = page(&mut connection, "/events").await.expect_err("refused");
        assert!(refused.to_string().contains("400 why"), "{refused}");
    }
}
