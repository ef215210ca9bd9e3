//! Values that stay although their name is that of a secret.

use super::MARKER;
use super::name::is_name_byte;

/// Longer values are hidden without a closer look: this also bounds the time that harmless ones cost.
pub(super) const MAX_HARMLESS_BYTES: usize = 512;

/// Nothing that is worth hiding: empty, a switch, one digit, standard input, or hidden already.
pub(super) fn is_harmless(value: &[u8]) -> bool {
    // Where the secret is, instead of the secret. `id=` is what `docker build --secret` takes.
    const REFERENCES: [&[u8]; 4] = [b"file:/", b"@/", b"env:", b"id="];
    const SWITCHES: [&[u8]; 8] = [
        b"true", b"false", b"yes", b"no", b"on", b"off", b"none", b"null",
    ];
    if value.len() > MAX_HARMLESS_BYTES {
        return false;
    }
    value.is_empty()
        || value == b"-"
        || (value.len() == 1 && value[0].is_ascii_digit())
        || value.starts_with(MARKER)
        || SWITCHES
            .iter()
            .any(|switch| value.eq_ignore_ascii_case(switch))
        || REFERENCES.iter().any(|start| value.starts_with(start))
}

/// A path that says where a key is. Secrets in base64 may begin with a slash, so it must look like a place.
pub(super) fn is_path(value: &[u8]) -> bool {
    const PLACES: [&[u8]; 22] = [
        b"etc", b"var", b"home", b"root", b"run", b"usr", b"opt", b"tmp", b"mnt", b"srv", b"data",
        b"secrets", b"vault", b"app", b"proc", b"dev", b"keys", b"certs", b"config", b"conf",
        b"nix", b"snap",
    ];
    const ENDINGS: [&[u8]; 10] = [
        b".pem", b".key", b".crt", b".json", b".yaml", b".yml", b".txt", b".jks", b".p12", b".pub",
    ];
    if value.len() > MAX_HARMLESS_BYTES {
        return false;
    }
    if [&b"./"[..], b"../", b"~/"]
        .iter()
        .any(|start| value.starts_with(start))
    {
        return true;
    }
    let plain = |byte: &u8| is_name_byte(*byte) || *byte == b'/';
    if !value.iter().all(plain) {
        return false;
    }
    let first = value
        .strip_prefix(b"/")
        .and_then(|rest| rest.split(|byte| *byte == b'/').next());
    first.is_some_and(|first| PLACES.contains(&first))
        || ENDINGS.iter().any(|ending| value.ends_with(ending))
}
