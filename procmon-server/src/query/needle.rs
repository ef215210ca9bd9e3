//! Searching for a fixed text, without making a text of every row first.

use memchr::memmem::Finder;

use super::signature::signature;
use super::value::{Text, space};

/// How a needle lies in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Search {
    Contains,
    StartsWith,
    EndsWith,
}

/// A text to look for.
#[derive(Clone, Debug)]
pub(super) struct Needle {
    text: Box<str>,
    /// Finds the longest part without a space: that part is the same however arguments are joined.
    anchor: Finder<'static>,
    anchor_at: usize,
}

impl Needle {
    pub(super) fn new(text: &str) -> Self {
        let mut at = 0;
        let mut longest = (0, "");
        for part in text.split(' ') {
            if part.len() > longest.1.len() {
                longest = (at, part);
            }
            at += part.len() + 1;
        }
        Self {
            text: text.into(),
            anchor: Finder::new(longest.1).into_owned(),
            anchor_at: longest.0,
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Of what contains it.
    pub(super) fn signature(&self) -> u64 {
        if self.needs_shown_text() {
            return 0;
        }
        signature(self.text.as_bytes())
    }

    /// U+FFFD stands for bytes that are not UTF-8, and NUL is shown as a space: both are only found in what is shown.
    pub(super) fn needs_shown_text(&self) -> bool {
        self.text.contains(['\u{fffd}', '\0'])
    }

    pub(super) fn is(&self, bytes: &[u8], joined: bool) -> bool {
        bytes.len() == self.text.len() && self.lies_at(bytes, 0, joined)
    }

    /// A valid text is found in bytes exactly where it is found in what is shown of them: its first byte begins a character
    /// anywhere.
    pub(super) fn is_in(&self, text: &Text<'_>, search: Search) -> bool {
        if self.needs_shown_text() {
            let shown = text.shown();
            return match search {
                Search::Contains => shown.contains(&*self.text),
                Search::StartsWith => shown.starts_with(&*self.text),
                Search::EndsWith => shown.ends_with(&*self.text),
            };
        }
        let (bytes, joined) = (text.bytes(), text.is_joined());
        let length = self.text.len();
        match search {
            _ if bytes.len() < length => false,
            Search::StartsWith => self.lies_at(bytes, 0, joined),
            Search::EndsWith => self.lies_at(bytes, bytes.len() - length, joined),
            Search::Contains if self.anchor.needle().len() == length => {
                self.anchor.find(bytes).is_some()
            }
            Search::Contains if self.anchor.needle().is_empty() => {
                // Nothing but spaces.
                (0..=bytes.len() - length).any(|at| self.lies_at(bytes, at, joined))
            }
            Search::Contains => self.lies_around_anchor(bytes, joined),
        }
    }

    fn lies_around_anchor(&self, bytes: &[u8], joined: bool) -> bool {
        let mut from = 0;
        while let Some(found) = self.anchor.find(&bytes[from..]) {
            let anchor = from + found;
            let at = anchor.checked_sub(self.anchor_at);
            if at.is_some_and(|at| self.lies_at(bytes, at, joined)) {
                return true;
            }
            // Anchors may overlap.
            from = anchor + 1;
        }
        false
    }

    fn lies_at(&self, bytes: &[u8], at: usize, joined: bool) -> bool {
        let wanted = self.text.as_bytes();
        let Some(found) = bytes.get(at..at + wanted.len()) else {
            return false;
        };
        if joined {
            found
                .iter()
                .zip(wanted)
                .all(|(byte, letter)| space(*byte) == *letter)
        } else {
            found == wanted
        }
    }
}

/// A text to look for in any case.
#[derive(Clone, Debug)]
pub(super) struct FoldedNeedle {
    /// In lower case.
    text: Box<str>,
    /// Where its rarest byte is, and both cases of that.
    anchor_at: usize,
    anchor: (u8, u8),
}

impl FoldedNeedle {
    pub(super) fn new(text: &str) -> Self {
        let text = text.to_lowercase();
        let rarest = text
            .bytes()
            .enumerate()
            .min_by_key(|(_, byte)| frequency(*byte));
        let (anchor_at, anchor) = rarest.unwrap_or_default();
        Self {
            anchor_at,
            anchor: (anchor, anchor.to_ascii_uppercase()),
            text: text.into(),
        }
    }

    /// Of what contains it.
    pub(super) fn signature(&self) -> u64 {
        if self.text.is_ascii() && !self.text.contains('\0') {
            return signature(self.text.as_bytes());
        }
        0
    }

    pub(super) fn is_in(&self, text: &Text<'_>) -> bool {
        let wanted = self.text.as_bytes();
        if !self.text.is_ascii() || wanted.contains(&0) {
            return text.shown().to_lowercase().contains(&*self.text);
        }
        if wanted.is_empty() {
            return true;
        }
        let bytes = text.bytes();
        let Some(last) = bytes.len().checked_sub(wanted.len()) else {
            return false;
        };
        let lies_at = |at: usize| {
            bytes[at..at + wanted.len()]
                .iter()
                .zip(wanted)
                .all(|(byte, letter)| space(*byte).eq_ignore_ascii_case(letter))
        };
        if self.anchor.0 == b' ' {
            return (0..=last).any(lies_at);
        }
        let places = &bytes[self.anchor_at..=self.anchor_at + last];
        let (small, large) = self.anchor;
        if small == large {
            memchr::memchr_iter(small, places).any(lies_at)
        } else {
            memchr::memchr2_iter(small, large, places).any(lies_at)
        }
    }
}

/// Roughly how often a byte is in command lines.
fn frequency(byte: u8) -> u8 {
    match byte {
        // May be a NUL there.
        b' ' => 5,
        b'-' | b'/' | b'a' | b'e' | b'i' | b'n' | b'o' | b'r' | b's' | b't' => 4,
        b'.' | b'=' | b'c' | b'd' | b'l' | b'm' | b'p' | b'u' | b'0' | b'1' => 3,
        b'0'..=b'9' | b'b' | b'f' | b'g' | b'h' | b'v' => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Searching in bytes finds what searching in the shown text finds.
        #[test]
        fn bytes_are_searched_as_they_are_shown(
            bytes in proptest::collection::vec(prop_oneof![Just(0), Just(b' '), Just(b'a'), Just(b'B'), Just(0xc3), Just(0xa4), any::<u8>()], 0..24),
            wanted in "[ aBä\u{fffd}]{0,4}",
            joined: bool,
        ) {
            let text = if joined { Text::joined(&bytes) } else { Text::new(&bytes[..]) };
            let shown = text.shown().into_owned();
            let needle = Needle::new(&wanted);
            prop_assert_eq!(needle.is_in(&text, Search::Contains), shown.contains(&wanted), "{:?}", shown);
            prop_assert_eq!(needle.is_in(&text, Search::StartsWith), shown.starts_with(&wanted), "{:?}", shown);
            prop_assert_eq!(needle.is_in(&text, Search::EndsWith), shown.ends_with(&wanted), "{:?}", shown);
            prop_assert_eq!(text.is(&needle), shown == wanted, "{:?}", shown);
        }

        #[test]
        fn case_is_ignored(text in "[ aAbB\0äÄ]{0,12}", wanted in "[ aAbBäÄ]{0,3}") {
            let shown = text.replace('\0', " ").to_lowercase();
            let joined = Text::joined(text.as_bytes());
            let shown = if text.ends_with('\0') { &shown[..shown.len() - 1] } else { &shown };
            prop_assert_eq!(FoldedNeedle::new(&wanted).is_in(&joined), shown.contains(&wanted.to_lowercase()), "{:?}", shown);
        }
    }
}
