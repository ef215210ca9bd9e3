//! GET of a page of a server on this machine: enough HTTP for these commands, without a client library.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// A request that takes longer has failed.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// The body of `http://HOST:PORT` + `path`, if the answer is 200.
pub(crate) fn get(base_url: &str, path: &str) -> Result<String> {
    let address = base_url
        .strip_prefix("http://")
        .context("only http:// URLs are known here")?;
    let mut stream =
        TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
    stream.set_read_timeout(Some(TIME_LIMIT))?;
    // HTTP/1.0: the answer comes unchunked and ends with the connection.
    write!(
        stream,
        "GET {path} HTTP/1.0\r\nHost: {address}\r\nAccept: */*\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .with_context(|| format!("no answer to GET {path}"))?;
    body(&answer)
        .with_context(|| format!("GET {path}"))
        .map(str::to_owned)
}

/// Posts JSON; an error unless it is taken.
pub(crate) fn post_json(base_url: &str, path: &str, json: &str) -> Result<()> {
    let address = base_url
        .strip_prefix("http://")
        .context("only http:// URLs are known here")?;
    let mut stream =
        TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
    stream.set_read_timeout(Some(TIME_LIMIT))?;
    let length = json.len();
    write!(
        stream,
        "POST {path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{json}"
    )?;
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .with_context(|| format!("no answer to POST {path}"))?;
    let status = answer.split(' ').nth(1).unwrap_or_default();
    if !status.starts_with('2') {
        bail!("POST {path} answered {status}: {answer}");
    }
    Ok(())
}

fn body(answer: &str) -> Result<&str> {
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .context("the answer is not HTTP")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        bail!("answered {status}: {}", body.trim());
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_200_has_a_body_for_us() {
        assert_eq!(
            body("HTTP/1.0 200 OK\r\na: b\r\n\r\nhello").unwrap(),
            "hello"
        );
        assert!(
            body("HTTP/1.0 503 Service Unavailable\r\n\r\nno store")
                .unwrap_err()
                .to_string()
                .contains("no store")
        );
        assert!(body("").is_err());
    }
}
