//! The ranges of keys, and the types of those that can be off.

use std::net::SocketAddr;
use std::time::Duration;

use procmon_common::config::{ByteSize, Secret, Setting, Value};
use procmon_common::ids::valid_agent_id;

/// About twice what an agent needs that watches a thousand processes.
const SMALLEST_MEM_LIMIT: u64 = 32 << 20;
const LARGEST_MEM_LIMIT: u64 = 64 << 30;

/// Where to serve the agent's own metrics, or nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Listen(pub(super) Option<SocketAddr>);

impl Setting for Listen {
    const EXPECTED: &'static str =
        "address:port, for example 127.0.0.1:9101, [::1]:9101 or :9101 for every address, or off";

    fn from_value(value: &Value) -> Option<Self> {
        if is_off(value) {
            return Some(Self(None));
        }
        SocketAddr::from_value(value).map(|address| Self(Some(address)))
    }
}

/// A share of one core; zero is no limit.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(super) struct Percent(pub(super) f64);

impl Setting for Percent {
    const EXPECTED: &'static str = "percent of one core, for example 5% or 2.5; 0 is no limit";

    fn from_value(value: &Value) -> Option<Self> {
        if is_off(value) {
            return Some(Self(0.0));
        }
        let text = value.scalar()?.trim();
        let number = text.strip_suffix('%').unwrap_or(text).trim_end();
        let is_plain = number
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
        number.parse().ok().filter(|_| is_plain).map(Self)
    }
}

/// Bytes; zero is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MemoryLimit(pub(super) u64);

impl Setting for MemoryLimit {
    const EXPECTED: &'static str = "a size, for example 256MiB or 1GB; 0 is no limit";

    fn from_value(value: &Value) -> Option<Self> {
        if is_off(value) {
            return Some(Self(0));
        }
        ByteSize::from_value(value).map(|size| Self(size.0))
    }
}

fn is_off(value: &Value) -> bool {
    *value == Value::Bool(false)
        || matches!(value, Value::Text(text) if text.trim().eq_ignore_ascii_case("off"))
}

pub(super) fn check_mem_limit(limit: MemoryLimit) -> Result<(), String> {
    match limit.0 {
        0 | SMALLEST_MEM_LIMIT..=LARGEST_MEM_LIMIT => Ok(()),
        1..SMALLEST_MEM_LIMIT => {
            Err("is too small; the smallest limit is 32MiB, and 0 is no limit".to_owned())
        }
        _ => Err("is too large; the largest limit is 64GiB, and 0 is no limit".to_owned()),
    }
}

pub(super) fn check_cpu_limit(limit: Percent) -> Result<(), String> {
    if limit.0 == 0.0 || (0.1..=100.0).contains(&limit.0) {
        return Ok(());
    }
    Err(
        "is out of range; sampling runs on one core: from 0.1% to 100%, and 0 is no limit"
            .to_owned(),
    )
}

pub(super) fn check_agent_id(agent_id: &str) -> Result<(), String> {
    if valid_agent_id(agent_id) {
        return Ok(());
    }
    Err(
        "is not a valid name; use 1 to 128 letters, digits and . _ - :, for example web-1"
            .to_owned(),
    )
}

pub(super) fn check_token(token: &Secret) -> Result<(), String> {
    if token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(
        "has a space, a line break or another character that no token has; copy it again"
            .to_owned(),
    )
}

pub(super) fn check_interval(interval: &Duration) -> Result<(), String> {
    if *interval < Duration::from_secs(1) {
        Err("is too short; the shortest interval is 1s".to_owned())
    } else if *interval > Duration::from_hours(1) {
        Err("is too long; the longest interval is 1h".to_owned())
    } else {
        Ok(())
    }
}

pub(super) fn check_spool_size(size: ByteSize) -> Result<(), String> {
    if size.0 < 1 << 20 {
        return Err("is too small; the smallest spool is 1MiB".to_owned());
    }
    Ok(())
}
