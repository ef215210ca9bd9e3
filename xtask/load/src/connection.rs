//! HTTP/1.1 over one connection that is kept open: what an agent needs of it, at a fraction of what a general client costs. The
//! simulator shares the machine with the server that it measures.

use std::io;
use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A request that takes longer has failed. The agent's own client waits as long.
const TIME_LIMIT: Duration = Duration::from_secs(30);
const HEAD_LIMIT: usize = 16 << 10;
/// Kept between two answers.
const BUFFER_KEPT: usize = 16 << 10;

#[derive(Debug)]
pub struct Connection {
    /// `host:port`
    address: String,
    stream: Option<TcpStream>,
    request: Vec<u8>,
    /// What arrived; an answer is taken from its front.
    buffer: Vec<u8>,
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    /// Seconds.
    pub retry_after: Option<u64>,
    pub body: Vec<u8>,
}

/// The address of a server in `http://HOST:PORT`.
pub fn address_of(url: &str) -> Result<String> {
    let address = url
        .strip_prefix("http://")
        .with_context(|| {
            format!("{url} is not an http:// address; write it like http://127.0.0.1:8080")
        })?
        .trim_end_matches('/');
    if address.contains('/') || address.is_empty() {
        bail!("{url}: give the address alone, like http://127.0.0.1:8080");
    }
    Ok(if address.contains(':') {
        address.to_owned()
    } else {
        format!("{address}:80")
    })
}

impl Connection {
    /// Connects at the first request.
    pub fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            stream: None,
            request: Vec::new(),
            buffer: Vec::new(),
        }
    }

    pub async fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.request.clear();
        write!(
            self.request,
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAccept: */*\r\n\r\n",
            self.address
        )?;
        self.exchange().await
    }

    /// `headers`: whole lines, each ended by CR LF.
    pub async fn post(&mut self, path: &str, headers: &str, body: &[u8]) -> io::Result<Answer> {
        self.request.clear();
        write!(
            self.request,
            "POST {path} HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\n{headers}Content-Length: {}\r\n\r\n",
            self.address,
            body.len()
        )?;
        self.request.extend_from_slice(body);
        self.exchange().await
    }

    async fn exchange(&mut self) -> io::Result<Answer> {
        let outcome = match timeout(TIME_LIMIT, self.try_exchange()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "no answer within 30 s",
            )),
        };
        if outcome.is_err() {
            // Whatever comes late on it is no answer to what is asked next.
            self.stream = None;
        }
        outcome
    }

    async fn try_exchange(&mut self) -> io::Result<Answer> {
        let mut stream = if let Some(stream) = self.stream.take() {
            stream
        } else {
            let stream = TcpStream::connect(&self.address).await?;
            stream.set_nodelay(true)?;
            stream
        };
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_KEPT);
        stream.write_all(&self.request).await?;
        let head = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break parse_head(&self.buffer[..end], end + 4)?;
            }
            if self.buffer.len() > HEAD_LIMIT {
                return Err(malformed("an endless head"));
            }
            fill(&mut stream, &mut self.buffer).await?;
        };
        let body = match head.length {
            Length::Known(length) => {
                let end = head.bytes + length;
                self.buffer.reserve(end.saturating_sub(self.buffer.len()));
                while self.buffer.len() < end {
                    fill(&mut stream, &mut self.buffer).await?;
                }
                self.buffer[head.bytes..end].to_vec()
            }
            Length::Chunked => read_chunks(&mut stream, &mut self.buffer, head.bytes).await?,
        };
        if !head.close {
            self.stream = Some(stream);
        }
        Ok(Answer {
            status: head.status,
            retry_after: head.retry_after,
            body,
        })
    }
}

async fn fill(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.reserve(4096);
    match stream.read_buf(buffer).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

async fn read_chunks(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    mut at: usize,
) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = loop {
            if let Some(end) = find(&buffer[at..], b"\r\n") {
                break at + end;
            }
            fill(stream, buffer).await?;
        };
        let size = std::str::from_utf8(&buffer[at..line])
            .map_err(|_| malformed("a chunk without size"))?;
        let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16)
            .map_err(|_| malformed("a chunk without size"))?;
        let (start, end) = (line + 2, line + 2 + size);
        while buffer.len() < end + 2 {
            fill(stream, buffer).await?;
        }
        body.extend_from_slice(&buffer[start..end]);
        buffer.drain(..end + 2);
        at = 0;
        if size == 0 {
            return Ok(body);
        }
    }
}

enum Length {
    Known(usize),
    Chunked,
}

struct Head {
    status: u16,
    length: Length,
    retry_after: Option<u64>,
    close: bool,
    /// Of the head.
    bytes: usize,
}

fn parse_head(head: &[u8], bytes: usize) -> io::Result<Head> {
    let text = std::str::from_utf8(head).map_err(|_| malformed("a head that is no text"))?;
    let mut lines = text.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let mut parsed = Head {
        status: status.ok_or_else(|| malformed("no status"))?,
        length: Length::Known(0),
        retry_after: None,
        close: false,
        bytes,
    };
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            let length = value
                .parse()
                .map_err(|_| malformed("a length that is no number"))?;
            parsed.length = Length::Known(length);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            parsed.length = Length::Chunked;
        } else if name.eq_ignore_ascii_case("retry-after") {
            parsed.retry_after = value.parse().ok();
        } else if name.eq_ignore_ascii_case("connection") {
            parsed.close = value.eq_ignore_ascii_case("close");
        }
    }
    Ok(parsed)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the answer has {what}"))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// A server that gives these answers on one connection.
    async fn answers(answers: &'static [&'static str]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            for answer in answers {
                let mut request = vec![0; 1024];
                let _ = stream.read(&mut request).await.expect("a request");
                for part in answer.as_bytes().chunks(7) {
                    stream.write_all(part).await.expect("sent");
                }
            }
        });
        address
    }

    #[tokio::test]
    async fn one_connection_brings_many_answers() {
        let address = answers(&[
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 503 Service Unavailable\r\nretry-after: 7\r\ncontent-length: 2\r\n\r\nno",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n10;x=y\r\n0123456789abcdef\r\n0\r\n\r\n",
        ])
        .await;
        let mut connection = Connection::new(&address);
        let answer = connection.get("/").await.expect("an answer");
        assert_eq!((answer.status, answer.body), (200, b"hello".to_vec()));
        let answer = connection
            .post("/", "A: b\r\n", b"body")
            .await
            .expect("an answer");
        assert_eq!((answer.status, answer.retry_after), (503, Some(7)));
        let answer = connection.get("/").await.expect("an answer");
        assert_eq!(answer.body, b"abc0123456789abcdef");
        assert!(connection.get("/").await.is_err(), "the server has gone");
    }

    #[test]
    fn addresses() {
        assert_eq!(address_of("http://a:1/").expect("valid"), "a:1");
        assert_eq!(address_of("http://a").expect("valid"), "a:80");
        for bad in ["a:1", "https://a", "http://a/b", "http://"] {
            assert!(address_of(bad).is_err(), "{bad}");
        }
    }
}
