//! A server that anybody on this machine may use must not answer to the names of others: a web page could otherwise point
//! its own name at 127.0.0.1, and read every command line through the visitor's browser (DNS rebinding).

use std::net::IpAddr;

use axum::http::{HeaderMap, StatusCode, header};

use crate::app::App;
use crate::error::Problem;

pub(crate) fn host_check(app: &App, headers: &HeaderMap) -> Result<(), Problem> {
    let host = headers.get(header::HOST);
    if app.any_host || host.is_none_or(|host| host.to_str().is_ok_and(is_loopback)) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::MISDIRECTED_REQUEST,
        "this server answers to localhost only; have a reverse proxy send `Host: localhost`, or start the server with \
         --insecure-no-auth",
    ))
}

/// Whether a `Host` header names this machine: `localhost`, or a loopback address, with or without a port.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_machine() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1",
            "127.0.0.2:80",
            "[::1]",
            "[::1]:8080",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:80",
            "10.0.0.1",
            "[::2]",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
