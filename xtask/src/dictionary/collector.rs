//! What stands in for a server: takes batches, keeps them, and says that they are stored.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, bail};
use procmon_common::wire::{self, Ack, Batch, MAX_BODY_BYTES, MAX_DECODED_BYTES};

pub(super) struct Collector {
    pub(super) url: String,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Collector {
    pub(super) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen on loopback")?;
        let url = format!("http://{}", listener.local_addr()?);
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&bodies);
        // It ends with this program.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if let Err(error) = serve(stream, &kept) {
                    eprintln!("the agent's connection ended: {error:#}");
                }
            }
        });
        Ok(Self { url, bodies })
    }

    pub(super) fn batches(&self) -> Result<Vec<Batch>> {
        let bodies = self.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        let decode = |body: &Vec<u8>| wire::decode(body, MAX_DECODED_BYTES);
        let batches: std::result::Result<_, _> = bodies.iter().map(decode).collect();
        batches.context("the agent sent what is no batch")
    }
}

/// One request after the other, until the agent closes the connection.
fn serve(stream: TcpStream, bodies: &Mutex<Vec<Vec<u8>>>) -> Result<()> {
    let mut answers = stream.try_clone()?;
    let mut requests = BufReader::new(stream);
    while let Some(body) = read_request(&mut requests)? {
        let batch = wire::decode(&body, MAX_DECODED_BYTES)?;
        let ack = serde_json::to_string(&Ack {
            epoch: batch.epoch,
            durable_seq: batch.seq,
            // A key batch now and then is worth learning from, too.
            resync: batch.seq.is_multiple_of(30),
            received_unix_ms: batch.built_unix_ns / 1_000_000,
        })?;
        bodies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(body);
        write!(
            answers,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{ack}",
            ack.len()
        )?;
    }
    Ok(())
}

fn read_request(requests: &mut BufReader<TcpStream>) -> Result<Option<Vec<u8>>> {
    let mut length = None;
    let mut any = false;
    loop {
        let mut line = String::new();
        if requests.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        any = true;
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = Some(value.trim().parse::<usize>()?);
        }
    }
    let length = length
        .filter(|_| any)
        .context("a request without a length")?;
    if length > MAX_BODY_BYTES {
        bail!("a body of {length} bytes");
    }
    let mut body = vec![0; length];
    requests.read_exact(&mut body)?;
    Ok(Some(body))
}
