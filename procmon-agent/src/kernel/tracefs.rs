//! The formats of tracepoints, from tracefs: their numbers and where their fields are, which differ between kernels.

use std::io::Read;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result, bail};
use rustix::fs::{Mode, OFlags, open, openat};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use rustix::mount::{fsconfig_create, fsmount, fsopen};

const MOUNTS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
/// Longer than any tracepoint's format.
const MAX_FORMAT_BYTES: u64 = 64 << 10;

/// An open tracefs.
pub(super) struct Tracefs {
    folder: OwnedFd,
}

/// A tracepoint as this kernel has it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tracepoint {
    pub(super) id: u64,
    fields: Vec<Field>,
}

#[derive(Debug, PartialEq, Eq)]
struct Field {
    name: String,
    offset: u32,
    size: u32,
}

impl Tracefs {
    /// The one that is mounted, or else one of this process alone, which no path leads to.
    pub(super) fn open() -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        for mount in MOUNTS {
            if let Ok(folder) = open(mount, flags, Mode::empty())
                && openat(&folder, "events", flags, Mode::empty()).is_ok()
            {
                return Ok(Self { folder });
            }
        }
        let folder = mount_detached().map_err(|error| match error {
            Errno::NODEV => anyhow::anyhow!("this kernel has no tracefs (CONFIG_FTRACE)"),
            error => anyhow::anyhow!(
                "tracefs is not mounted and cannot be ({error}); `mount -t tracefs tracefs {}` as root",
                MOUNTS[0]
            ),
        })?;
        Ok(Self { folder })
    }

    /// `name` is `category/tracepoint`.
    pub(super) fn tracepoint(&self, name: &str) -> Result<Tracepoint> {
        let path = format!("events/{name}/format");
        let file = openat(
            &self.folder,
            &path,
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .with_context(|| format!("cannot open the tracepoint {name} in tracefs"))?;
        let mut text = String::new();
        std::fs::File::from(file)
            .take(MAX_FORMAT_BYTES)
            .read_to_string(&mut text)
            .with_context(|| format!("cannot read {path} in tracefs"))?;
        Tracepoint::parse(&text)
            .with_context(|| format!("the format of the tracepoint {name} is not as expected"))
    }
}

fn mount_detached() -> Result<OwnedFd, Errno> {
    let tracefs = fsopen("tracefs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&tracefs)?;
    fsmount(
        &tracefs,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::empty(),
    )
}

impl Tracepoint {
    fn parse(text: &str) -> Result<Self> {
        let id = text.lines().find_map(|line| line.strip_prefix("ID: "));
        Ok(Self {
            id: id.context("it has no ID")?.trim().parse()?,
            fields: text.lines().filter_map(field).collect(),
        })
    }

    /// Where a field of this many bytes is; `None` when there is no such field.
    pub(super) fn offset(&self, name: &str, size: u32) -> Result<Option<u32>> {
        match self.fields.iter().find(|field| field.name == name) {
            Some(field) if field.size != size => {
                bail!("the field {name} has {} bytes, not {size}", field.size)
            }
            field => Ok(field.map(|field| field.offset)),
        }
    }
}

/// One line, as `field:__data_loc char[] filename; offset:8; size:4; signed:0;`.
fn field(line: &str) -> Option<Field> {
    let mut parts = line.trim().strip_prefix("field:")?.split(';');
    let declaration = parts.next()?;
    let mut number = |key: &str| parts.next()?.trim().strip_prefix(key)?.parse().ok();
    let (offset, size) = (number("offset:")?, number("size:")?);
    let name = declaration.rsplit(' ').next()?;
    Some(Field {
        name: name.split('[').next()?.to_owned(),
        offset,
        size,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXEC: &str = "name: sched_process_exec\nID: 365\nformat:\n\
        \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\
        \n\tfield:__data_loc char[] filename;\toffset:8;\tsize:4;\tsigned:0;\n\
        \tfield:char comm[16];\toffset:12;\tsize:16;\tsigned:0;\n\
        \nprint fmt: \"filename=%s\", __get_str(filename)\n";

    #[test]
    fn fields_of_a_format() -> Result<()> {
        let exec = Tracepoint::parse(EXEC)?;
        assert_eq!(exec.id, 365);
        assert_eq!(exec.offset("filename", 4)?, Some(8));
        assert_eq!(exec.offset("comm", 16)?, Some(12));
        assert_eq!(exec.offset("group_dead", 1)?, None);
        assert!(exec.offset("filename", 8).is_err());
        Ok(())
    }

    #[test]
    fn what_is_no_format_is_refused() {
        assert!(Tracepoint::parse("").is_err());
        assert!(Tracepoint::parse("ID: x").is_err());
        let cut = Tracepoint::parse("ID: 7\n\tfield:int a;\toffset:8;").expect("it has an ID");
        assert_eq!(cut.fields, []);
    }
}
