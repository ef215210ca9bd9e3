//! The zstd dictionaries that agents and servers of this version have in common. A dictionary is never changed: a better one
//! gets another number, and the old one stays for as long as agents use it.

use std::sync::LazyLock;

use zstd::dict::DecoderDictionary;
use zstd::zstd_safe::get_dict_id_from_frame;

/// Most that a dictionary has: it is in every binary, and in the memory of both sides.
pub const DICTIONARY_BYTES: usize = 16 << 10;

/// A dictionary by the number that zstd writes into each frame.
#[derive(Debug)]
pub struct Dictionary {
    pub id: u32,
    pub content: &'static [u8],
}

/// Made by `cargo xtask dictionary`; the newest last.
static DICTIONARIES: [Dictionary; 1] = [Dictionary {
    id: 1_000_001,
    content: include_bytes!("batch-1.dict"),
}];

/// Ready for use, in the same order.
static DECODERS: LazyLock<Vec<Option<DecoderDictionary<'static>>>> = LazyLock::new(|| {
    let ready = |known: &Dictionary| DecoderDictionary::try_copy(known.content).ok();
    DICTIONARIES.iter().map(ready).collect()
});

impl Dictionary {
    /// The newest one: what this version compresses with.
    pub fn newest() -> &'static Self {
        &DICTIONARIES[DICTIONARIES.len() - 1]
    }

    /// What the frames of a dictionary are decompressed with; `None` for one of another version.
    pub(super) fn decoder(id: u32) -> Option<&'static DecoderDictionary<'static>> {
        let index = DICTIONARIES.iter().position(|known| known.id == id)?;
        DECODERS.get(index)?.as_ref()
    }
}

/// The numbers of all dictionaries that this version can decompress with.
pub fn known_dictionaries() -> impl Iterator<Item = u32> {
    DICTIONARIES.iter().map(|dictionary| dictionary.id)
}

/// The number of the dictionary that a compressed body needs; `None` when it needs none.
pub fn dictionary_of(body: &[u8]) -> Option<u32> {
    get_dict_id_from_frame(body).map(std::num::NonZeroU32::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dictionaries_are_what_they_say() {
        for dictionary in &DICTIONARIES {
            assert!(dictionary.content.len() <= DICTIONARY_BYTES);
            // The number stands after the magic one.
            assert_eq!(dictionary.content[4..8], dictionary.id.to_le_bytes());
            assert!(Dictionary::decoder(dictionary.id).is_some());
        }
        assert_eq!(known_dictionaries().last(), Some(Dictionary::newest().id));
    }
}
