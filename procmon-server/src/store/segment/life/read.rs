//! Rows of lives, read as they were written.

use super::{LifeRow, expected_start_ns, expected_ticks, kin_before, reference};
use crate::store::segment::SegmentError;
use crate::store::segment::block::{Block, Values};
use crate::store::segment::kin::parent;
use crate::store::segment::life_numbers::{column, flag};

/// Reads rows one after the other, as they were written.
#[derive(Debug)]
pub(in super::super) struct LifeReader {
    columns: [Values; column::COUNT],
    pub(in super::super) rows: Vec<LifeRow>,
    arguments_known: u32,
}

impl LifeReader {
    /// `arguments_known`: as the writer had it at the beginning of the block.
    pub(in super::super) fn new(
        block: &Block<'_>,
        arguments_known: u32,
    ) -> Result<Self, SegmentError> {
        let mut columns = Vec::with_capacity(column::COUNT);
        for id in 1..=column::COUNT as u64 {
            columns.push(block.column(id)?);
        }
        Ok(Self {
            columns: columns.try_into().map_err(|_| SegmentError::Lengths)?,
            rows: Vec::new(),
            arguments_known,
        })
    }

    fn next(&mut self, id: u64) -> Result<u64, SegmentError> {
        self.columns[id as usize - 1].next()
    }

    fn signed(&mut self, id: u64) -> Result<i64, SegmentError> {
        self.columns[id as usize - 1].signed()
    }

    fn near(&mut self, id: u64, base: u32) -> Result<u32, SegmentError> {
        Ok(i64::from(base).wrapping_add(self.signed(id)?) as u32)
    }

    fn has(&self, id: u64) -> bool {
        !self.columns[id as usize - 1].is_zeros()
    }

    fn parent(&mut self, base: &LifeRow, row: &LifeRow) -> Result<u32, SegmentError> {
        let code = self.next(column::PARENT)?;
        if !row.has(flag::PPID) {
            return Ok(0);
        }
        parent(kin_before(&self.rows, base), row.pid, code)
    }

    fn namespace_pid(&mut self, base: &LifeRow, row: &LifeRow) -> Result<u32, SegmentError> {
        let further = self.signed(column::NAMESPACE_SHIFT)?;
        if !row.has(flag::NAMESPACE_PID) {
            return Ok(0);
        }
        let shift = base.namespace_shift().wrapping_add(further);
        Ok(i64::from(row.pid).wrapping_sub(shift) as u32)
    }

    /// As version 1 had it.
    fn before(&mut self, id: u64, row: &LifeRow, flag: u32) -> Result<u32, SegmentError> {
        let before = self.signed(id)?;
        let value = i64::from(row.pid).wrapping_sub(before) as u32;
        Ok(if row.has(flag) { value } else { 0 })
    }

    /// Reads a row; it is the last of `rows` then.
    pub(in super::super) fn read(&mut self, around_ns: Option<i64>) -> Result<(), SegmentError> {
        use column as id;
        let mut row = LifeRow {
            flags: self.next(id::FLAGS)? as u32,
            ..LifeRow::default()
        };
        let prior = usize::try_from(self.next(id::PRIOR)?).map_err(|_| SegmentError::Lengths)?;
        let base = reference(&self.rows, prior)?;
        row.pid = self.near(id::PID, base.pid)?;
        let expected_ns = expected_start_ns(&base, prior, around_ns);
        let started_ns = expected_ns.wrapping_add(self.signed(id::STARTED_NS)?);
        let ticks = expected_ticks(&base, started_ns);
        row.start = ticks.wrapping_add(self.signed(id::START)?);
        if row.has(flag::STARTED) {
            row.started_ns = started_ns;
        }
        row.boot = self.near(id::BOOT, base.boot)?;
        row.ppid = if self.has(id::PPID) {
            self.before(id::PPID, &row, flag::PPID)?
        } else {
            self.parent(&base, &row)?
        };
        row.image_seq = self.next(id::IMAGE_SEQ)? as u32;
        row.name = self.next(id::NAME)? as u32;
        row.exe = self.next(id::EXE)? as u32;
        if row.has(flag::IMAGE) {
            row.arguments = self.arguments()?;
        }
        row.arguments_grown = self.signed(id::ARGUMENTS_GROWN)?;
        row.uid = self.near(id::UID, base.uid)?;
        row.euid = self.near(id::EUID, row.uid)?;
        row.gid = self.near(id::GID, base.gid)?;
        row.username = self.next(id::USERNAME)? as u32;
        row.cgroup = self.next(id::CGROUP)? as u32;
        row.container = self.next(id::CONTAINER)? as u32;
        row.systemd_unit = self.next(id::SYSTEMD_UNIT)? as u32;
        row.pid_namespace = self.near(id::PID_NAMESPACE, base.pid_namespace)?;
        row.namespace_pid = if self.has(id::NAMESPACE_PID) {
            self.before(id::NAMESPACE_PID, &row, flag::NAMESPACE_PID)?
        } else {
            self.namespace_pid(&base, &row)?
        };
        self.rows.push(row);
        Ok(())
    }

    fn arguments(&mut self) -> Result<u32, SegmentError> {
        let back = self.next(column::ARGUMENTS)?;
        if back == 0 {
            let number = self.arguments_known;
            self.arguments_known = number.checked_add(1).ok_or(SegmentError::Reference)?;
            return Ok(number);
        }
        let back = u32::try_from(back).map_err(|_| SegmentError::Reference)?;
        let number = self.arguments_known.checked_sub(back);
        number.ok_or(SegmentError::Reference)
    }
}
