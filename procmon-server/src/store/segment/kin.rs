//! A parent's pid, and the pid within a namespace, as what the rows before say of theirs: siblings follow each other, a child
//! follows its parent, and pids of a namespace are given out as those of the host are.

use super::SegmentError;

/// Rows that are looked back for a sibling or the parent.
const LOOK_BACK: usize = 24;
/// Codes of such a row: one for "has the same parent", one for "is the parent".
const BY_ROW: u64 = 2 * LOOK_BACK as u64;

/// What the rows before are asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kin {
    pub(super) pid: u32,
    /// 0 where it is not known.
    pub(super) ppid: u32,
}

/// `before`: the row that this one is compared with, and then the rows before, from the newest.
pub(super) fn code_parent(before: impl Iterator<Item = Kin>, kin: Kin) -> u64 {
    for (distance, row) in (0..).zip(before.take(LOOK_BACK)) {
        if row.ppid == kin.ppid {
            return 2 * distance;
        }
        if row.pid == kin.ppid {
            return 2 * distance + 1;
        }
    }
    let further = i64::from(kin.pid) - i64::from(kin.ppid);
    BY_ROW + ((further << 1) ^ (further >> 63)) as u64
}

pub(super) fn parent(
    mut before: impl Iterator<Item = Kin>,
    pid: u32,
    code: u64,
) -> Result<u32, SegmentError> {
    if let Some(coded) = code.checked_sub(BY_ROW) {
        let further = (coded >> 1) as i64 ^ -((coded & 1) as i64);
        return Ok(i64::from(pid).wrapping_sub(further) as u32);
    }
    let distance = (code / 2) as usize;
    let row = before.nth(distance).ok_or(SegmentError::Reference)?;
    Ok(if code.is_multiple_of(2) {
        row.ppid
    } else {
        row.pid
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parents_are_found_again(rows in proptest::collection::vec((0..20_u32, 0..20_u32), 0..40), pid in any::<u32>(), near in 0..20_u32, far in any::<u32>(), is_near: bool) {
            let before = || rows.iter().map(|(pid, ppid)| Kin { pid: *pid, ppid: *ppid });
            let ppid = if is_near { near } else { far };
            let code = code_parent(before(), Kin { pid, ppid });
            prop_assert_eq!(parent(before(), pid, code).expect("just coded"), ppid);
        }

        #[test]
        fn any_code_is_a_parent_or_refused(code in any::<u64>(), pid in any::<u32>()) {
            let _ = parent(std::iter::repeat_n(Kin::default(), 3), pid, code);
        }
    }
}
