//! Signatures of webhooks, as Standard Webhooks 1.0 describes them: <https://www.standardwebhooks.com>.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

pub const PREFIX: &str = "whsec_";
/// Bytes of a secret that the specification allows.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

/// A secret that messages are signed with.
#[derive(Clone)]
pub struct SigningSecret(hmac::Key);

impl fmt::Debug for SigningSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SigningSecret(…)")
    }
}

impl SigningSecret {
    /// Reads `whsec_` and base64. The error does not repeat it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = || {
            format!(
                "must be {PREFIX} and the base64 of {} to {} random bytes: echo {PREFIX}$(openssl rand -base64 32)",
                LENGTHS.start(),
                LENGTHS.end()
            )
        };
        let encoded = text.strip_prefix(PREFIX).ok_or_else(form)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| form())?;
        if !LENGTHS.contains(&bytes.len()) {
            return Err(form());
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }
}

/// The header `webhook-signature`: a signature for each secret, so that a receiver may know any of them while they are
/// replaced.
pub fn signatures(secrets: &[SigningSecret], id: &str, timestamp_s: i64, body: &[u8]) -> String {
    let mut content = format!("{id}.{timestamp_s}.").into_bytes();
    content.extend(body);
    let signed = secrets.iter().map(|secret| {
        let tag = hmac::sign(&secret.0, &content);
        format!("v1,{}", STANDARD.encode(tag))
    });
    signed.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the reference implementations.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn signs_as_the_reference_does() {
        let secret = SigningSecret::parse(SECRET).expect("a secret");
        let signed = signatures(
            std::slice::from_ref(&secret),
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let two = signatures(&[secret.clone(), secret.clone()], "a", 1, b"");
        assert_eq!(two.split(' ').count(), 2);
        assert!(!format!("{secret:?}").contains("MfKQ"));
    }

    #[test]
    fn other_texts_are_refused_without_repeating_them() {
        for text in [
            "",
            "hunter2",
            "whsec_",
            "whsec_!!!",
            "whsec_c2hvcnQ=",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ] {
            let error = SigningSecret::parse(text).expect_err("refused");
            assert!(error.contains("openssl") && !error.contains("hunter2"));
        }
    }
}
