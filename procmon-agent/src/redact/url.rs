//! Passwords in URLs: `scheme://user:SECRET@host` keeps all but the secret.

use std::ops::Range;

use super::harmless::is_harmless;
use super::word::{is_quote, is_space};

/// A password with an unescaped slash is looked for this far.
const MAX_USERINFO_BYTES: usize = 256;
/// A user name without a password that is this long is a token.
const TOKEN_FROM_BYTES: usize = 24;

/// `after` is behind `://`.
pub(super) fn password(args: &[u8], after: usize, limit: usize) -> Option<Range<usize>> {
    let text = &args[after..limit.min(after + MAX_USERINFO_BYTES)];
    let ends_url =
        |byte: &u8| is_space(*byte) || is_quote(*byte) || matches!(byte, b'<' | b'>' | b'\\');
    let url = &text[..text.iter().position(ends_url).unwrap_or(text.len())];
    let ends_authority = |byte: &u8| matches!(byte, b'/' | b'?' | b'#');
    let authority = &url[..url.iter().position(ends_authority).unwrap_or(url.len())];
    let userinfo = match authority.iter().rposition(|byte| *byte == b'@') {
        Some(at) => &authority[..at],
        None if after + authority.len() == args.len() => cut_off(authority)?,
        None => unescaped(url, authority.len())?,
    };
    let secret = match userinfo.iter().position(|byte| *byte == b':') {
        Some(colon) => after + colon + 1..after + userinfo.len(),
        None if is_token(userinfo) => after..after + userinfo.len(),
        None => return None,
    };
    (!is_harmless(&args[secret.clone()])).then_some(secret)
}

/// argv was cut in the middle of it: what follows the colon may be a part of a password, unless it is a port.
fn cut_off(authority: &[u8]) -> Option<&[u8]> {
    let colon = authority.iter().position(|byte| *byte == b':')?;
    let is_port = authority[colon + 1..].iter().all(u8::is_ascii_digit);
    (!is_port && !authority.starts_with(b"[")).then_some(authority)
}

/// `user:pass/word@host`: no port begins with anything but a digit.
fn unescaped(url: &[u8], authority: usize) -> Option<&[u8]> {
    let colon = url[..authority].iter().position(|byte| *byte == b':')?;
    let begins_port = url
        .get(colon + 1)
        .is_none_or(|byte| byte.is_ascii_digit() || *byte == b'/');
    if begins_port || url.starts_with(b"[") {
        return None;
    }
    let at = url.iter().position(|byte| *byte == b'@')?;
    Some(&url[..at])
}

/// `user:SECRET@tcp(host:3306)/db`, as Go programs name databases. `at` is the place of the `@`.
pub(super) fn dsn_password(args: &[u8], at: usize, start: usize) -> Option<Range<usize>> {
    let start = start.max(at.saturating_sub(MAX_USERINFO_BYTES));
    let apart = |byte: &u8| is_space(*byte) || is_quote(*byte);
    let start = args[start..at]
        .iter()
        .rposition(apart)
        .map_or(start, |last| start + last + 1);
    let colon = start + args[start..at].iter().position(|byte| *byte == b':')?;
    let is_url = args[colon..at].starts_with(b"://");
    (!is_url && !is_harmless(&args[colon + 1..at])).then_some(colon + 1..at)
}

fn is_token(user: &[u8]) -> bool {
    user.len() >= TOKEN_FROM_BYTES
        && user.iter().any(u8::is_ascii_digit)
        && user
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}
