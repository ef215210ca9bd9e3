//! Whether what is seen would be delivered.

use crate::config::AgentConfig;
use crate::ship::{ShipTiming, Unreachable, base_url, http_client};

use super::Finding;

const WHAT: &str = "server";

pub(super) async fn finding(config: &AgentConfig) -> Finding {
    let address = format!("{}/healthz", config.server_url);
    let client =
        base_url(&config.server_url).and_then(|url| http_client(&url, &ShipTiming::default()));
    let client = match client {
        Ok(client) => client,
        Err(error) => return Finding::fail(WHAT, format!("{address}: {error:#}"), ""),
    };
    match client.get(&address).send().await {
        Err(error) => unreachable(&address, &Unreachable::of(&error)),
        Ok(response) => {
            let status = response.status();
            let body = response.bytes().await.unwrap_or_default();
            answered(&address, status.as_u16(), &body)
        }
    }
}

/// The agent runs without a server, so that one which is away is a warning; what an operator must change is a failure.
fn unreachable(address: &str, reason: &Unreachable) -> Finding {
    let text = format!("{address}: {reason}");
    match reason {
        Unreachable::Refused => Finding::warn(
            WHAT,
            text,
            "start the server (procmon-server), or set server_url to where it listens",
        ),
        Unreachable::Timeout => Finding::warn(
            WHAT,
            text,
            "check the route and the firewalls between this host and the server",
        ),
        Unreachable::Name(_) => Finding::warn(
            WHAT,
            text,
            "check the host's name in server_url, and this host's DNS (/etc/resolv.conf)",
        ),
        Unreachable::Tls(_) => Finding::fail(
            WHAT,
            text,
            "install the certificate of the server's authority on this host (Debian: update-ca-certificates), and use \
             the name that is in the server's certificate; http:// in server_url for a server without TLS",
        ),
        Unreachable::Other(_) => Finding::warn(
            WHAT,
            text,
            "check that server_url names a procmon server, and http or https as it is there",
        ),
    }
}

fn answered(address: &str, status: u16, body: &[u8]) -> Finding {
    let says_ok = serde_json::from_slice::<serde_json::Value>(body)
        .is_ok_and(|body| body.get("status").is_some_and(|status| status == "ok"));
    match status {
        200 if says_ok => Finding::ok(WHAT, format!("{address} answers")),
        500..=599 => Finding::warn(
            WHAT,
            format!("{address} answers with status {status}"),
            "look into the server's log; the agent keeps everything until the server is well",
        ),
        _ => Finding::fail(
            WHAT,
            format!("{address} answers (status {status}), but it is not a procmon server"),
            "set server_url to the server's address without /api, for example http://127.0.0.1:8080",
        ),
    }
}
