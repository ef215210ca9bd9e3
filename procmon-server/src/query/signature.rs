//! What a text may contain, in 64 bits that lie beside the row: most texts need not be looked at to know that something is not in
//! them.

use super::value::space;

/// A bit for each pair of neighbours that occurs, in any case, NUL as a space. A text that has another in it has all of that one's bits.
pub fn signature(bytes: &[u8]) -> u64 {
    let pairs = bytes.windows(2).map(|pair| {
        let [first, second] = [pair[0], pair[1]].map(|byte| space(byte).to_ascii_lowercase());
        u32::from(first) << 8 | u32::from(second)
    });
    pairs.fold(0, |bits, pair| {
        bits | 1 << (pair.wrapping_mul(0x9e37_79b1) >> 26)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_part_has_no_bit_that_the_whole_lacks(text in "[ -~\0]{0,40}", from in 0..40_usize, upper: bool) {
            let part = &text[from.min(text.len())..];
            let part = if upper { part.to_uppercase() } else { part.replace('\0', " ") };
            let whole = signature(text.as_bytes());
            prop_assert_eq!(signature(part.as_bytes()) & !whole, 0);
        }
    }
}
