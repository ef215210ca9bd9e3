//! The registry of sampled metrics: one number per column, for ever. The wire and the store both use these numbers, so a
//! number is never given a second meaning and never reused.

/// A sampled metric of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
pub enum Column {
    /// ASCII of the state letter of `ps`: R S D Z T I.
    Status = 1,
    /// Parent's pid: it changes when a parent dies.
    Ppid = 2,
    /// CPU over the last interval in hundredths of a percent of one core.
    CpuCentipercent = 3,
    /// CPU time since start, user and system, milliseconds.
    CpuTimeMs = 4,
    /// Resident set in KiB.
    RssKib = 5,
    /// Virtual size in KiB.
    VirtualKib = 6,
    Threads = 7,
    OpenFds = 8,
    /// Sockets in the Internet families.
    NetConns = 9,
    /// Bytes fetched from storage since start (`read_bytes` of `/proc/PID/io`).
    ReadBytes = 10,
    /// Bytes sent to storage since start (`write_bytes` of `/proc/PID/io`).
    WriteBytes = 11,
    VoluntarySwitches = 12,
    InvoluntarySwitches = 13,
    MinorFaults = 14,
    MajorFaults = 15,
    /// 1 when `RssKib` is exact, 0 when the kernel keeps an approximation.
    RssExact = 16,
    /// Share of the host's memory in millionths of a percent, as an uploaded list gives it. procmon's own agent sends
    /// host totals instead.
    MemoryMicropercent = 17,
    /// Bytes of an uploaded resident set beyond `RssKib`. Pages are whole KiB: procmon's own agent never needs it.
    RssExtraBytes = 18,
    /// CPU over the last interval of descendants that began and ended within it, hundredths of a percent of one core: no
    /// sample shows them. Charged to the nearest ancestor that is still there.
    ShortLivedCpuCentipercent = 19,
}

/// All columns, in the order of their numbers.
pub const COLUMNS: [Column; 19] = [
    Column::Status,
    Column::Ppid,
    Column::CpuCentipercent,
    Column::CpuTimeMs,
    Column::RssKib,
    Column::VirtualKib,
    Column::Threads,
    Column::OpenFds,
    Column::NetConns,
    Column::ReadBytes,
    Column::WriteBytes,
    Column::VoluntarySwitches,
    Column::InvoluntarySwitches,
    Column::MinorFaults,
    Column::MajorFaults,
    Column::RssExact,
    Column::MemoryMicropercent,
    Column::RssExtraBytes,
    Column::ShortLivedCpuCentipercent,
];

pub const COLUMN_COUNT: usize = COLUMNS.len();

impl Column {
    /// `None` for a number from a newer version: such a column is skipped.
    pub fn from_id(id: u32) -> Option<Self> {
        COLUMNS.get((id as usize).wrapping_sub(1)).copied()
    }

    pub fn id(self) -> u32 {
        self as u32
    }

    fn index(self) -> usize {
        self as usize - 1
    }
}

/// One process' sampled metrics. Every one of them may be unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Row {
    /// Value + 1; 0 is unknown.
    stored: [u64; COLUMN_COUNT],
}

impl Row {
    pub fn get(&self, column: Column) -> Option<u64> {
        self.stored[column.index()].checked_sub(1)
    }

    pub fn set(&mut self, column: Column, value: Option<u64>) {
        self.stored[column.index()] = value.map_or(0, |value| value.saturating_add(1));
    }

    pub(crate) fn stored(&self, column: Column) -> u64 {
        self.stored[column.index()]
    }

    /// Adds a difference as it came over the wire.
    pub fn apply(&mut self, column: Column, delta: i64) {
        let stored = &mut self.stored[column.index()];
        *stored = stored.wrapping_add_signed(delta);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_and_stable() {
        for (index, column) in COLUMNS.iter().enumerate() {
            assert_eq!(column.id() as usize, index + 1);
            assert_eq!(Column::from_id(column.id()), Some(*column));
        }
        assert_eq!(Column::from_id(0), None);
        assert_eq!(Column::from_id(20), None);
    }

    #[test]
    fn unknown_is_not_zero() {
        let mut row = Row::default();
        assert_eq!(row.get(Column::OpenFds), None);
        row.set(Column::OpenFds, Some(0));
        assert_eq!(row.get(Column::OpenFds), Some(0));
        row.set(Column::OpenFds, None);
        assert_eq!(row, Row::default());
    }
}
