//! Lives as rows of numbers. Each row is written as the differences to another: the row before, or the earlier row of the
//! same life (a process that executed something else, or was renamed).

mod read;

pub(super) use read::LifeReader;

use std::sync::Arc;

use procmon_common::ids::{ProcessId, Start};

use super::SegmentError;
use super::block::BlockWriter;
use super::kin::{Kin, code_parent};
use super::life_numbers::{column, flag};
use super::strings::{ArgumentWriter, Arguments, WordWriter, Words};
use crate::batch::{Credentials, Image, Life};

pub(super) const PRIOR: u64 = column::PRIOR;
const NANOS_PER_TICK: i64 = 10_000_000;

/// A life in numbers; what is unknown is 0, and its flag says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LifeRow {
    flags: u32,
    pid: u32,
    start: i64,
    boot: u32,
    started_ns: i64,
    ppid: u32,
    image_seq: u32,
    pub(super) name: u32,
    exe: u32,
    pub(super) arguments: u32,
    arguments_grown: i64,
    uid: u32,
    euid: u32,
    gid: u32,
    username: u32,
    cgroup: u32,
    container: u32,
    systemd_unit: u32,
    pid_namespace: u32,
    namespace_pid: u32,
}

impl LifeRow {
    /// Gives the life's strings their numbers.
    pub(super) fn new(life: &Life, words: &mut WordWriter, arguments: &mut ArgumentWriter) -> Self {
        let mut row = Self::default();
        row.identity(life);
        if let Some(image) = &life.image {
            row.set(flag::IMAGE, true);
            let kept = arguments.kept(&image.args);
            let is_cut = image.args_cut || kept.len() < image.args.len();
            row.set(flag::ARGUMENTS_CUT, is_cut);
            row.image_seq = image.seq;
            row.name = words.number(&image.name);
            row.exe = words.number(&image.exe);
            row.arguments = arguments.number(kept);
            row.arguments_grown = (image.args_bytes as i64).wrapping_sub(kept.len() as i64);
        }
        let mut word =
            |text: Option<&str>| text.map_or(0, |text| words.number(text.as_bytes()) + 1);
        row.username = word(life.username());
        row.cgroup = word(life.cgroup.as_deref());
        row.container = word(life.container_id.as_deref());
        row.systemd_unit = word(life.systemd_unit.as_deref());
        if let Some(credentials) = &life.credentials {
            row.set(flag::CREDENTIALS, true);
            row.uid = row.known(flag::UID, credentials.uid);
            row.euid = row.known(flag::EUID, credentials.euid);
            row.gid = row.known(flag::GID, credentials.gid);
        }
        row.ppid = row.known(flag::PPID, life.ppid);
        row.pid_namespace = row.known(flag::PID_NAMESPACE, life.pid_namespace);
        row.namespace_pid = row.known(flag::NAMESPACE_PID, life.namespace_pid);
        row
    }

    fn identity(&mut self, life: &Life) {
        self.set(flag::BASELINE, life.baseline);
        if let Some(started_ns) = life.started_ns {
            self.set(flag::STARTED, true);
            self.started_ns = started_ns;
        }
        let Some(id) = life.id else { return };
        self.set(flag::ID, true);
        self.pid = id.pid;
        match id.start {
            Start::Booted { ticks, boot } => {
                self.start = ticks as i64;
                self.boot = boot;
            }
            Start::Upload { first_seen_ms } => {
                self.set(flag::UPLOADED, true);
                self.start = first_seen_ms;
            }
        }
    }

    fn set(&mut self, flag: u32, set: bool) {
        if set {
            self.flags |= flag;
        }
    }

    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    fn known(&mut self, flag: u32, value: Option<u32>) -> u32 {
        self.set(flag, value.is_some());
        value.unwrap_or(0)
    }

    fn option(&self, flag: u32, value: u32) -> Option<u32> {
        self.has(flag).then_some(value)
    }

    /// How far the pid in its namespace lies before that of the host, if it is known.
    fn namespace_shift(&self) -> i64 {
        if self.has(flag::NAMESPACE_PID) {
            difference(self.pid, self.namespace_pid)
        } else {
            0
        }
    }

    fn kin(&self) -> Kin {
        Kin {
            pid: self.pid,
            ppid: self.ppid,
        }
    }

    pub(super) fn id(&self) -> Option<ProcessId> {
        let start = if self.has(flag::UPLOADED) {
            Start::Upload {
                first_seen_ms: self.start,
            }
        } else {
            Start::Booted {
                ticks: self.start as u64,
                boot: self.boot,
            }
        };
        self.has(flag::ID).then_some(ProcessId {
            pid: self.pid,
            start,
        })
    }

    /// The row, with words as another segment numbers them.
    pub(super) fn with_words<E>(
        mut self,
        mut word: impl FnMut(u32) -> Result<u32, E>,
    ) -> Result<Self, E> {
        if self.has(flag::IMAGE) {
            self.name = word(self.name)?;
            self.exe = word(self.exe)?;
        }
        let others = [
            &mut self.username,
            &mut self.cgroup,
            &mut self.container,
            &mut self.systemd_unit,
        ];
        for other in others {
            if let Some(number) = other.checked_sub(1) {
                *other = word(number)? + 1;
            }
        }
        Ok(self)
    }

    /// The same with arguments, of which so many bytes are not kept there.
    pub(super) fn with_arguments<E>(
        mut self,
        argument: impl FnOnce(u32) -> Result<(u32, usize), E>,
    ) -> Result<Self, E> {
        if self.has(flag::IMAGE) {
            let (number, missing) = argument(self.arguments)?;
            self.arguments = number;
            self.arguments_grown = self.arguments_grown.wrapping_add(missing as i64);
            self.set(flag::ARGUMENTS_CUT, missing > 0);
        }
        Ok(self)
    }

    /// The number of its name, if it has one.
    pub(super) fn name_word(&self) -> Option<u32> {
        self.option(flag::IMAGE, self.name)
    }

    pub(super) fn started_ns(&self) -> Option<i64> {
        self.has(flag::STARTED).then_some(self.started_ns)
    }

    /// The life, with its strings.
    pub(super) fn life(
        &self,
        words: &Words,
        arguments: &Arguments<'_>,
    ) -> Result<Arc<Life>, SegmentError> {
        let text = |word: u32| {
            let word = word.checked_sub(1).map(|word| words.text(word));
            word.map(|text| text.map(Arc::from)).transpose()
        };
        let image = if self.has(flag::IMAGE) {
            let args = arguments.get(self.arguments)?;
            Some(Arc::new(Image {
                seq: self.image_seq,
                name: words.bytes(self.name)?.into(),
                exe: words.bytes(self.exe)?.into(),
                args_bytes: (args.len() as i64).wrapping_add(self.arguments_grown) as u64,
                args,
                args_cut: self.has(flag::ARGUMENTS_CUT),
            }))
        } else {
            None
        };
        let username = text(self.username)?;
        Ok(Arc::new(Life {
            id: self.id(),
            ppid: self.option(flag::PPID, self.ppid),
            started_ns: self.started_ns(),
            image,
            credentials: self.has(flag::CREDENTIALS).then(|| {
                Arc::new(Credentials {
                    uid: self.option(flag::UID, self.uid),
                    euid: self.option(flag::EUID, self.euid),
                    gid: self.option(flag::GID, self.gid),
                    username,
                })
            }),
            cgroup: text(self.cgroup)?,
            container_id: text(self.container)?,
            systemd_unit: text(self.systemd_unit)?,
            pid_namespace: self.option(flag::PID_NAMESPACE, self.pid_namespace),
            namespace_pid: self.option(flag::NAMESPACE_PID, self.namespace_pid),
            baseline: self.has(flag::BASELINE),
        }))
    }
}

/// Where the row that a row is compared with stands.
fn reference(rows: &[LifeRow], prior: usize) -> Result<LifeRow, SegmentError> {
    match (prior, rows.last()) {
        (0, Some(last)) => Ok(*last),
        (0, None) => Ok(LifeRow::default()),
        (prior, _) => {
            let index = rows.len().checked_sub(prior);
            let found = index.and_then(|index| rows.get(index));
            found.copied().ok_or(SegmentError::Reference)
        }
    }
}

/// When a life is likely to have started: `around_ns` for a new one where the writer knows a time near it.
fn expected_start_ns(reference: &LifeRow, prior: usize, around_ns: Option<i64>) -> i64 {
    match around_ns {
        Some(around_ns) if prior == 0 => around_ns,
        _ => reference.started_ns,
    }
}

fn expected_ticks(reference: &LifeRow, started_ns: i64) -> i64 {
    let later_ns = started_ns.wrapping_sub(reference.started_ns);
    reference
        .start
        .wrapping_add(later_ns.div_euclid(NANOS_PER_TICK))
}

/// The rows that tell a parent: the one that a row is compared with, and then those before the newest.
fn kin_before(rows: &[LifeRow], base: &LifeRow) -> impl Iterator<Item = Kin> {
    let further = rows.iter().rev().skip(1).map(LifeRow::kin);
    std::iter::once(base.kin()).chain(further)
}

fn difference(value: u32, reference: u32) -> i64 {
    i64::from(value) - i64::from(reference)
}

/// Adds a row to those before it. `known` is the number of arguments before those of this row were numbered.
pub(super) fn write_row(
    block: &mut BlockWriter,
    rows: &mut Vec<LifeRow>,
    row: LifeRow,
    prior: usize,
    around_ns: Option<i64>,
    arguments_known: &mut u32,
) {
    use column as id;
    // A prior row that is not there is a mistake of the writer; the first row's reference is then as good.
    let base = reference(rows, prior).unwrap_or_default();
    block.put(id::FLAGS, u64::from(row.flags));
    block.put(id::PRIOR, prior as u64);
    block.put_signed(id::PID, difference(row.pid, base.pid));
    let expected_ns = expected_start_ns(&base, prior, around_ns);
    let started_ns = if row.has(flag::STARTED) {
        row.started_ns
    } else {
        expected_ns
    };
    block.put_signed(id::STARTED_NS, started_ns.wrapping_sub(expected_ns));
    let ticks = expected_ticks(&base, started_ns);
    block.put_signed(id::START, row.start.wrapping_sub(ticks));
    block.put_signed(id::BOOT, difference(row.boot, base.boot));
    let parent = if row.has(flag::PPID) {
        code_parent(kin_before(rows, &base), row.kin())
    } else {
        0
    };
    block.put(id::PARENT, parent);
    block.put(id::IMAGE_SEQ, u64::from(row.image_seq));
    block.put(id::NAME, u64::from(row.name));
    block.put(id::EXE, u64::from(row.exe));
    if row.has(flag::IMAGE) {
        let is_new = row.arguments >= *arguments_known;
        *arguments_known = (*arguments_known).max(row.arguments + 1);
        let back = *arguments_known - row.arguments;
        block.put(id::ARGUMENTS, u64::from(if is_new { 0 } else { back }));
    }
    block.put_signed(id::ARGUMENTS_GROWN, row.arguments_grown);
    block.put_signed(id::UID, difference(row.uid, base.uid));
    block.put_signed(id::EUID, difference(row.euid, row.uid));
    block.put_signed(id::GID, difference(row.gid, base.gid));
    block.put(id::USERNAME, u64::from(row.username));
    block.put(id::CGROUP, u64::from(row.cgroup));
    block.put(id::CONTAINER, u64::from(row.container));
    block.put(id::SYSTEMD_UNIT, u64::from(row.systemd_unit));
    let namespace = difference(row.pid_namespace, base.pid_namespace);
    block.put_signed(id::PID_NAMESPACE, namespace);
    let shift = row.namespace_shift() - base.namespace_shift();
    block.put_signed(
        id::NAMESPACE_SHIFT,
        if row.has(flag::NAMESPACE_PID) {
            shift
        } else {
            0
        },
    );
    block.rows += 1;
    rows.push(row);
}
