//! A place in the log, and its opaque form.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The place of an event: ordered as things arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub slice: u32,
    pub batch: i64,
    /// Within the batch.
    pub index: u32,
}

const VERSION: u8 = 1;
const LENGTH: usize = 17;

impl Position {
    pub const START: Self = Self {
        slice: 0,
        batch: 0,
        index: 0,
    };

    /// After everything in a batch.
    pub fn after_batch(slice: u32, batch: i64) -> Self {
        Self {
            slice,
            batch,
            index: u32::MAX,
        }
    }

    /// Before everything in a batch.
    pub fn before_batch(slice: u32, batch: i64) -> Self {
        Self {
            slice,
            batch,
            index: 0,
        }
    }

    /// As clients see it.
    pub fn to_cursor(self) -> String {
        let mut bytes = [0; LENGTH];
        bytes[0] = VERSION;
        bytes[1..5].copy_from_slice(&self.slice.to_be_bytes());
        bytes[5..13].copy_from_slice(&self.batch.to_be_bytes());
        bytes[13..].copy_from_slice(&self.index.to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// `None` for anything that [`Position::to_cursor`] did not write.
    pub fn from_cursor(cursor: &str) -> Option<Self> {
        // Longer ones are not worth decoding.
        if cursor.len() > 2 * LENGTH {
            return None;
        }
        let bytes: [u8; LENGTH] = URL_SAFE_NO_PAD.decode(cursor).ok()?.try_into().ok()?;
        let position = Self {
            slice: u32::from_be_bytes(bytes[1..5].try_into().ok()?),
            batch: i64::from_be_bytes(bytes[5..13].try_into().ok()?),
            index: u32::from_be_bytes(bytes[13..].try_into().ok()?),
        };
        (bytes[0] == VERSION && position.batch >= 0).then_some(position)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn cursors_round_trip(slice: u32, batch in 0..i64::MAX, index: u32) {
            let position = Position { slice, batch, index };
            prop_assert_eq!(Position::from_cursor(&position.to_cursor()), Some(position));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            let _ = Position::from_cursor(&text);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..24)) {
            let _ = Position::from_cursor(&URL_SAFE_NO_PAD.encode(bytes));
        }
    }
}
