//! A server that stores what it is told to, and remembers it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use procmon_common::columns::{Column, Row};
use procmon_common::frame::for_each_change;
use procmon_common::wire;

#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) batches: Vec<wire::Batch>,
    pub(crate) authorization: Option<String>,
    /// Every request is answered with this status instead of being stored.
    pub(crate) refusal: Option<u16>,
}

/// Its threads end with the test program.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

impl Server {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let server = Self {
            address: listener.local_addr()?,
            seen: Arc::default(),
        };
        let serving = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                std::thread::spawn(move || serving.serve(&stream));
            }
        });
        Ok(server)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stream: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream);
        loop {
            let mut length = 0;
            let mut authorization = None;
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).ok()? == 0 {
                    return None;
                }
                let line = line.trim_end();
                if line.is_empty() {
                    break;
                }
                match line.split_once(": ") {
                    Some(("content-length", value)) => length = value.parse().ok()?,
                    Some(("authorization", value)) => authorization = Some(value.to_owned()),
                    _ => {}
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).ok()?;
            let answer = self.answer(&body, authorization);
            (&mut &*stream).write_all(answer.as_bytes()).ok()?;
        }
    }

    fn answer(&self, body: &[u8], authorization: Option<String>) -> String {
        let mut seen = self.seen();
        seen.authorization = authorization;
        let (status, text) = match (seen.refusal, wire::decode(body, wire::MAX_DECODED_BYTES)) {
            (Some(status), _) => (status, "{}".to_owned()),
            (None, Err(_)) => (400, "{}".to_owned()),
            (None, Ok(batch)) => {
                let (epoch, seq) = (batch.epoch, batch.seq);
                seen.batches.push(batch);
                let ack = format!(r#"{{"epoch":{epoch},"durable_seq":{seq},"resync":false}}"#);
                (200, ack)
            }
        };
        let length = text.len();
        format!(
            "HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{text}"
        )
    }
}

impl Seen {
    /// Arguments of everything that was started, seen as it happened or found.
    pub(crate) fn args_of_execs(&self) -> Vec<String> {
        self.batches
            .iter()
            .flat_map(|batch| &batch.events)
            .filter_map(|event| match &event.kind {
                Some(wire::event::Kind::Exec(exec)) => exec.image.as_ref(),
                _ => None,
            })
            .map(|image| String::from_utf8_lossy(&image.args).replace('\0', " "))
            .collect()
    }

    /// The process of which the arguments contain this, with its last sample.
    pub(crate) fn process(&self, marker: &str) -> Option<(wire::Process, Row)> {
        let mut found: Option<(wire::Process, Row)> = None;
        for batch in &self.batches {
            for process in &batch.processes {
                let image = process.image.as_ref()?;
                if String::from_utf8_lossy(&image.args).contains(marker) {
                    found = Some((process.clone(), Row::default()));
                }
            }
            if let (Some((process, row)), Some(frame)) = (&mut found, &batch.frame) {
                let handle = process.handle;
                for_each_change(&frame.columns, |changed, column: Column, delta| {
                    if changed == handle {
                        row.apply(column, delta);
                    }
                })
                .ok()?;
            }
        }
        found
    }

    pub(crate) fn health(&self) -> Option<&wire::AgentHealth> {
        self.batches
            .iter()
            .rev()
            .find_map(|batch| batch.health.as_ref())
    }
}
