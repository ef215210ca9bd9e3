//! When a message is tried again.

use ring::digest::{SHA256, digest};

/// Between attempts, in milliseconds: what Standard Webhooks recommends. The last failure after these makes a message dead:
/// ten attempts over some three days.
const DELAYS_MS: [i64; 9] = [
    5_000,
    5 * MINUTE_MS,
    30 * MINUTE_MS,
    2 * HOUR_MS,
    5 * HOUR_MS,
    10 * HOUR_MS,
    14 * HOUR_MS,
    20 * HOUR_MS,
    24 * HOUR_MS,
];
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// A receiver may ask for more patience than the schedule has, but not for any amount of it.
const LONGEST_RETRY_AFTER_MS: i64 = 24 * HOUR_MS;
/// Nothing waits longer than this, by a clock that does not jump.
pub(super) const LONGEST_MS: i64 = 30 * HOUR_MS;
/// Delays are drawn out by up to a fifth, so that what failed together does not come back together.
const JITTER_STEPS: i64 = 200;

/// When to try again after a failure, and the next step of the schedule; `None` when it was the last one. The same message
/// always gets the same answer, and others other ones.
pub(super) fn next_attempt(
    message_id: &str,
    step: i64,
    now_ms: i64,
    retry_after_ms: Option<i64>,
) -> Option<(i64, i64)> {
    let delay_ms = *DELAYS_MS.get(usize::try_from(step).ok()?)?;
    let hash = digest(&SHA256, format!("{message_id} {step}").as_bytes());
    let random = hash.as_ref().iter().take(2);
    let random = random.fold(0, |number, byte| number << 8 | i64::from(*byte));
    let jitter_ms = delay_ms * (random % (JITTER_STEPS + 1)) / 1000;
    let asked_ms = retry_after_ms.unwrap_or_default();
    Some((now_ms + (delay_ms + jitter_ms).max(asked_ms), step + 1))
}

/// The header `Retry-After`: seconds, or a date. Bounded.
pub(super) fn retry_after_ms(text: &str, now_ms: i64) -> Option<i64> {
    let text = text.trim();
    let wait_ms = if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse::<i64>().ok()?.saturating_mul(1000)
    } else {
        let date = jiff::fmt::rfc2822::parse(text).ok()?;
        date.timestamp().as_millisecond() - now_ms
    };
    Some(wait_ms.clamp(0, LONGEST_RETRY_AFTER_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_attempts_within_the_bounds_of_the_jitter() {
        let mut step = 0;
        let mut total_ms = 0;
        while let Some((at_ms, next)) = next_attempt("msg_1", step, 1000, None) {
            let delay_ms = DELAYS_MS[step as usize];
            let waited_ms = at_ms - 1000;
            assert!((delay_ms..=delay_ms * 6 / 5).contains(&waited_ms));
            total_ms += waited_ms;
            step = next;
        }
        assert_eq!(step, 9);
        assert!((75 * HOUR_MS..92 * HOUR_MS).contains(&total_ms));
        let others = ["msg_2", "msg_3", "msg_4"].map(|id| next_attempt(id, 3, 0, None));
        assert!(others.iter().any(|other| *other != others[0]));
        assert_eq!(next_attempt("msg_1", -1, 0, None), None);
    }

    #[test]
    fn a_receiver_may_ask_for_more_patience() {
        let asked = |text| retry_after_ms(text, 784_111_777_000);
        assert_eq!(asked("120"), Some(120_000));
        assert_eq!(asked("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60_000));
        assert_eq!(asked("Tue, 06 Nov 1984 08:50:37 GMT"), Some(0));
        assert_eq!(asked("99999999999"), Some(LONGEST_RETRY_AFTER_MS));
        assert_eq!(
            asked("99999999999999999999999"),
            None,
            "no number of seconds"
        );
        for text in ["", "soon", "-5"] {
            assert!(asked(text).unwrap_or_default() == 0, "{text}");
        }
        assert_eq!(
            next_attempt("a", 0, 0, Some(60_000)),
            Some((60_000, 1)),
            "longer than the schedule"
        );
        let (at_ms, _) = next_attempt("a", 1, 0, Some(1)).expect("more");
        assert!(at_ms >= 5 * MINUTE_MS, "never shorter");
    }
}
