//! The table of lives.

use std::sync::Arc;

use procmon_common::ids::{ProcessId, Start};

use crate::batch::{Credentials, Image, Life};
use crate::store::format::strings::Strings;
use crate::store::format::table::{ColumnReader, Table};
use crate::store::format::{FormatError, column};

pub(super) fn read_lives(
    bytes: &[u8],
    strings: &Strings<'_>,
) -> Result<Vec<Arc<Life>>, FormatError> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let table = Table::read(bytes, column::life::FLAGS)?;
    let mut reader = LifeReader::new(&table);
    (0..table.rows)
        .map(|_| reader.next(strings).map(Arc::new))
        .collect()
}

/// Whether one of the lives has a pid: their pids are read, and nothing else.
pub(super) fn has_pid(bytes: &[u8], pid: u32) -> Result<bool, FormatError> {
    if bytes.is_empty() {
        return Ok(false);
    }
    let table = Table::read(bytes, column::life::FLAGS)?;
    let mut pids = table.column(column::life::PID);
    for _ in 0..table.rows {
        if pids.known_u32()? == Some(pid) {
            return Ok(true);
        }
    }
    Ok(false)
}

struct LifeReader<'a> {
    columns: [ColumnReader<'a>; 21],
    start: i64,
    started_ns: i64,
    shared: Shared,
}

/// What lives of a batch have in common: most of them belong to one user, and one cgroup, and a child has its parent's name.
#[derive(Default)]
struct Shared {
    /// By the number of the string.
    bytes: Vec<Option<Arc<[u8]>>>,
    texts: Vec<Option<Arc<str>>>,
    credentials: Option<Arc<Credentials>>,
}

/// The place of a string that is there, or refused.
fn slot<'s, T: Clone>(
    all: &'s mut Vec<Option<T>>,
    strings: &Strings<'_>,
    number: u64,
) -> Result<&'s mut Option<T>, FormatError> {
    if all.is_empty() {
        all.resize(strings.len(), None);
    }
    let index = usize::try_from(number).map_err(|_| FormatError::Reference)?;
    all.get_mut(index).ok_or(FormatError::Reference)
}

impl Shared {
    fn bytes(&mut self, strings: &Strings<'_>, number: u64) -> Result<Arc<[u8]>, FormatError> {
        let slot = slot(&mut self.bytes, strings, number)?;
        if let Some(known) = slot {
            return Ok(Arc::clone(known));
        }
        let found: Arc<[u8]> = strings.bytes(number)?.into();
        Ok(Arc::clone(slot.insert(found)))
    }

    fn text(&mut self, strings: &Strings<'_>, number: u64) -> Result<Arc<str>, FormatError> {
        let slot = slot(&mut self.texts, strings, number)?;
        if let Some(known) = slot {
            return Ok(Arc::clone(known));
        }
        let found = String::from_utf8_lossy(strings.bytes(number)?);
        Ok(Arc::clone(slot.insert(found.into())))
    }

    fn credentials(&mut self, credentials: Credentials) -> Arc<Credentials> {
        match &self.credentials {
            Some(known) if **known == credentials => Arc::clone(known),
            _ => Arc::clone(self.credentials.insert(Arc::new(credentials))),
        }
    }
}

impl<'a> LifeReader<'a> {
    fn new(table: &Table<'a>) -> Self {
        Self {
            columns: std::array::from_fn(|index| table.column(index as u64 + 1)),
            start: 0,
            started_ns: 0,
            shared: Shared::default(),
        }
    }

    fn column(&mut self, id: u64) -> &mut ColumnReader<'a> {
        &mut self.columns[id as usize - 1]
    }

    fn next(&mut self, strings: &Strings<'_>) -> Result<Life, FormatError> {
        use column::life as id;
        let flags = self.column(id::FLAGS).next()?;
        let pid = self.column(id::PID).known_u32()?;
        self.start = self.start.wrapping_add(self.column(id::START).signed()?);
        let start = match self.column(id::BOOT).known_u32()? {
            Some(boot) => Start::Booted {
                ticks: self.start as u64,
                boot,
            },
            None => Start::Upload {
                first_seen_ms: self.start,
            },
        };
        let started_delta = self.column(id::STARTED_NS).signed()?;
        self.started_ns = self.started_ns.wrapping_add(started_delta);
        let image = self.image(strings, flags)?;
        let credentials = self.credentials(strings)?;
        let credentials = (flags & id::HAS_CREDENTIALS != 0).then_some(credentials);
        let credentials = credentials.map(|credentials| self.shared.credentials(credentials));
        let parent = self.column(id::PPID).known_u32()?;
        let mut text = |id| -> Result<Option<Arc<str>>, FormatError> {
            let number = self.columns[id as usize - 1].known()?;
            let text = number.map(|number| self.shared.text(strings, number));
            text.transpose()
        };
        Ok(Life {
            cgroup: text(id::CGROUP)?,
            container_id: text(id::CONTAINER)?,
            systemd_unit: text(id::SYSTEMD_UNIT)?,
            id: pid.map(|pid| ProcessId { pid, start }),
            ppid: parent,
            started_ns: (flags & id::HAS_STARTED != 0).then_some(self.started_ns),
            image: image.map(Arc::new),
            credentials,
            pid_namespace: self.column(id::PID_NAMESPACE).known_u32()?,
            namespace_pid: self.column(id::NAMESPACE_PID).known_u32()?,
            baseline: flags & id::IS_BASELINE != 0,
        })
    }

    fn image(&mut self, strings: &Strings<'_>, flags: u64) -> Result<Option<Image>, FormatError> {
        use column::life as id;
        let seq = self.column(id::IMAGE_SEQ).next()? as u32;
        let name = self.column(id::NAME).next()?;
        let exe = self.column(id::EXE).next()?;
        let args = self.column(id::ARGS).next()?;
        let cut = self.column(id::ARGS_CUT).next()?;
        let grown = self.column(id::ARGS_GROWN).next()?;
        if flags & id::HAS_IMAGE == 0 {
            return Ok(None);
        }
        let args = strings.bytes(args)?;
        let looks_cut = cut > 0;
        let args_cut =
            flags & id::ARGS_ARE_CUT != 0 || looks_cut && flags & id::ARGS_ARE_WHOLE == 0;
        Ok(Some(Image {
            seq,
            name: self.shared.bytes(strings, name)?,
            exe: self.shared.bytes(strings, exe)?,
            args: args.into(),
            args_bytes: cut.saturating_add(args.len() as u64).saturating_sub(grown),
            args_cut,
        }))
    }

    fn credentials(&mut self, strings: &Strings<'_>) -> Result<Credentials, FormatError> {
        use column::life as id;
        let username = self.column(id::USERNAME).known()?;
        Ok(Credentials {
            uid: self.column(id::UID).known_u32()?,
            euid: self.column(id::EUID).known_u32()?,
            gid: self.column(id::GID).known_u32()?,
            username: username
                .map(|number| self.shared.text(strings, number))
                .transpose()?,
        })
    }
}

/// A life by its number.
pub(super) fn reference(lives: &[Arc<Life>], number: u64) -> Result<Arc<Life>, FormatError> {
    usize::try_from(number)
        .ok()
        .and_then(|index| lives.get(index))
        .cloned()
        .ok_or(FormatError::Reference)
}
