//! What else would keep the daemon from starting: rules that cannot be read, an address that cannot be listened on.

use std::io::ErrorKind;
use std::net::TcpListener;

use super::Finding;
use crate::config::AgentConfig;
use crate::redact::Redactor;

pub(super) fn redaction(config: &AgentConfig) -> Finding {
    const WHAT: &str = "redaction";
    if let Err(error) = Redactor::new(config.redact, config.redact_rules.as_deref()) {
        return Finding::fail(
            WHAT,
            format!("{error:#}"),
            "correct the file (docs/redaction.md has its form), or leave redact_rules out",
        );
    }
    if !config.redact {
        return Finding::warn(
            WHAT,
            "off: secrets in command lines are sent as they are",
            "remove `redact: false`, unless that is what you want",
        );
    }
    Finding::ok(
        WHAT,
        config.redact_rules.as_ref().map_or_else(
            || "built-in rules".to_owned(),
            |file| format!("built-in rules, and those of {}", file.display()),
        ),
    )
}

/// The address is taken for a moment only.
pub(super) fn listening(config: &AgentConfig) -> Option<Finding> {
    const WHAT: &str = "listen";
    let address = config.listen?;
    Some(match TcpListener::bind(address) {
        Ok(_) => Finding::ok(WHAT, format!("{address} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Finding::warn(
            WHAT,
            format!("{address} is in use"),
            "nothing to do if it is the running agent that listens there; else choose another address",
        ),
        Err(error) => Finding::fail(
            WHAT,
            format!("cannot listen on {address}: {error}"),
            "use an address of this host and a port that this user may bind",
        ),
    })
}
