//! One agent: sends its batches in order, each until it is acknowledged.

use std::rc::Rc;
use std::time::{Duration, Instant};

use procmon_common::wire::{self, Ack};
use procmon_load::connection::{Answer, Connection};
use procmon_load::host::{Host, Outgoing};
use procmon_load::ledger::{Ledger, Told};

use super::shared::{Shared, add, unix_ns};

/// As the agent does it.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// An agent at the end of the run.
pub(super) struct Played {
    pub(super) number: u32,
    pub(super) host: Host,
    pub(super) ledger: Ledger,
    /// A batch of it was refused: its handles and events are not what the host has.
    pub(super) broken_off: bool,
}

struct Sender {
    shared: Rc<Shared>,
    connection: Connection,
    path: String,
}

pub(super) async fn play(number: u32, shared: Rc<Shared>) -> Played {
    let mut host = Host::new(shared.plan(number));
    let mut ledger = Ledger::new(host.first_life());
    let mut sender = Sender {
        path: format!("/api/v1/agents/{}/batches", host.agent_id()),
        connection: Connection::new(&shared.address),
        shared: Rc::clone(&shared),
    };
    let mut broken_off = false;
    while !broken_off {
        let due_ns = match host.next_batch_ns() {
            0 => shared.now_ns(),
            due_ns => due_ns,
        };
        if due_ns > shared.end_ns() {
            break;
        }
        let due = shared.instant_of(due_ns);
        tokio::time::sleep_until(due.into()).await;
        for outgoing in host.batches(due_ns) {
            match sender.send(&outgoing, due).await {
                Some(ack) => {
                    acknowledge(&shared, &mut ledger, &outgoing, host.process_count());
                    if ack.resync && !outgoing.batch.more {
                        add(&shared.resyncs, 1);
                        host.resync();
                    }
                }
                None => broken_off = true,
            }
        }
    }
    Played {
        number,
        host,
        ledger,
        broken_off,
    }
}

fn acknowledge(shared: &Shared, ledger: &mut Ledger, outgoing: &Outgoing, rows: usize) {
    for pid in &outgoing.execs {
        ledger.acknowledge(*pid, Told::Exec);
    }
    for pid in &outgoing.exits {
        ledger.acknowledge(*pid, Told::Exit);
    }
    add(&shared.batches, 1);
    add(&shared.events, outgoing.batch.events.len() as u64);
    if outgoing.is_sample {
        ledger.samples += 1;
        add(&shared.samples, 1);
        add(&shared.rows, rows as u64);
    } else if outgoing.batch.frame.is_some() {
        ledger.keys_between += 1;
    }
}

impl Sender {
    /// Until it is acknowledged. `None` when the server will never take it.
    async fn send(&mut self, outgoing: &Outgoing, due: Instant) -> Option<Ack> {
        let encoded = self.shared.encoder.borrow_mut().encode(&outgoing.batch);
        let body = match encoded {
            Ok(body) => body,
            Err(error) => {
                self.refused(&format!("cannot be encoded: {error}"));
                return None;
            }
        };
        self.shared.late.borrow_mut().add(due.elapsed());
        let mut pause = FIRST_PAUSE;
        loop {
            let started = Instant::now();
            let wait = match self.post(&body).await {
                Ok(answer) if answer.status == 200 => {
                    self.shared.ingest.borrow_mut().add(started.elapsed());
                    add(&self.shared.sent_bytes, body.len() as u64);
                    return self.read(&answer);
                }
                Ok(answer) if answer.status == 429 || answer.status >= 500 => {
                    add(&self.shared.put_off, 1);
                    self.shared.complain(&describe(&self.path, &answer));
                    answer.retry_after.map(Duration::from_secs)
                }
                Ok(answer) => {
                    self.refused(&describe(&self.path, &answer));
                    return None;
                }
                Err(error) => {
                    add(&self.shared.broken, 1);
                    self.shared.complain(&format!("{}: {error}", self.path));
                    None
                }
            };
            tokio::time::sleep(wait.unwrap_or(pause).min(LONGEST_PAUSE)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn post(&mut self, body: &[u8]) -> std::io::Result<Answer> {
        let headers = format!(
            "Content-Type: {}\r\nContent-Encoding: {}\r\n{}: {}\r\n",
            wire::CONTENT_TYPE,
            wire::CONTENT_ENCODING,
            wire::SENT_HEADER,
            unix_ns() / 1_000_000
        );
        self.connection.post(&self.path, &headers, body).await
    }

    fn read(&self, answer: &Answer) -> Option<Ack> {
        match serde_json::from_slice(&answer.body) {
            Ok(ack) => Some(ack),
            Err(error) => {
                self.refused(&format!("the answer is no acknowledgement: {error}"));
                None
            }
        }
    }

    fn refused(&self, why: &str) {
        add(&self.shared.refused, 1);
        self.shared.complain(why);
    }
}

fn describe(path: &str, answer: &Answer) -> String {
    let body = String::from_utf8_lossy(&answer.body);
    let body: String = body.chars().take(300).collect();
    format!("{path}: {} {body}", answer.status)
}
