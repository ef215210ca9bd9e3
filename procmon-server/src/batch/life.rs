//! A process life and what it runs.

use std::sync::Arc;

use procmon_common::ids::{ProcessId, Start};

/// A process as it was at some moment. Bytes are the kernel's: any byte but NUL, not always UTF-8. What many processes have in
/// common is shared: a server holds a million of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Life {
    /// Unknown for an event about a process that was never described.
    pub id: Option<ProcessId>,
    pub ppid: Option<u32>,
    pub started_ns: Option<i64>,
    pub image: Option<Arc<Image>>,
    pub credentials: Option<Arc<Credentials>>,
    pub cgroup: Option<Arc<str>>,
    pub container_id: Option<Arc<str>>,
    pub systemd_unit: Option<Arc<str>>,
    pub pid_namespace: Option<u32>,
    pub namespace_pid: Option<u32>,
    /// It ran before anybody looked.
    pub baseline: bool,
}

/// What a process runs. An exec replaces it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Image {
    pub seq: u32,
    pub name: Arc<[u8]>,
    /// Empty: unknown, or a kernel thread.
    pub exe: Arc<[u8]>,
    /// Each argument ended by NUL.
    pub args: Box<[u8]>,
    /// True length; `args` may be shorter or, where secrets were replaced, longer.
    pub args_bytes: u64,
    /// The end of `args` is missing.
    pub args_cut: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// Unknown where only a name was uploaded.
    pub uid: Option<u32>,
    pub euid: Option<u32>,
    pub gid: Option<u32>,
    pub username: Option<Arc<str>>,
}

impl Life {
    pub fn name(&self) -> Option<&[u8]> {
        self.image.as_ref().map(|image| &*image.name)
    }

    /// What its texts take, as if nothing was shared.
    pub fn text_bytes(&self) -> usize {
        let image = self.image.as_ref().map_or(0, |image| {
            image.name.len() + image.exe.len() + image.args.len()
        });
        let texts = [
            self.username(),
            self.cgroup.as_deref(),
            self.container_id.as_deref(),
            self.systemd_unit.as_deref(),
        ];
        image + texts.into_iter().flatten().map(str::len).sum::<usize>()
    }

    /// What is known of the arguments. An upload may have left them out.
    pub fn command(&self) -> Option<&Image> {
        self.image.as_deref()?.command_of(self.id)
    }

    /// The arguments one by one. An uploaded command line does not tell where one ends.
    pub fn arguments(&self) -> Option<impl Iterator<Item = &[u8]>> {
        let image = self.image.as_ref()?;
        (!self.uploaded()).then(|| image.arguments())
    }

    pub(super) fn uploaded(&self) -> bool {
        is_upload(self.id)
    }

    pub fn username(&self) -> Option<&str> {
        self.credentials.as_ref()?.username.as_deref()
    }
}

fn is_upload(id: Option<ProcessId>) -> bool {
    matches!(id.map(|id| id.start), Some(Start::Upload { .. }))
}

impl Image {
    /// As [`Life::command`], of the life with this identity.
    pub(crate) fn command_of(&self, id: Option<ProcessId>) -> Option<&Self> {
        (!is_upload(id) || !self.args.is_empty()).then_some(self)
    }

    /// The arguments one by one, empty ones too.
    pub fn arguments(&self) -> impl Iterator<Item = &[u8]> {
        let ended = self.args.strip_suffix(b"\0").unwrap_or(&self.args);
        let any = !self.args.is_empty();
        ended.split(|byte| *byte == 0).filter(move |_| any)
    }

    /// All arguments joined with spaces, as people write a command.
    pub fn command_line(&self) -> String {
        let ended = self.args.strip_suffix(b"\0").unwrap_or(&self.args);
        let spaced: Vec<u8> = ended
            .iter()
            .map(|byte| if *byte == 0 { b' ' } else { *byte })
            .collect();
        lossy(&spaced)
    }
}

/// Bytes as people and JSON read them.
pub(crate) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(args: &[u8]) -> Image {
        Image {
            args: args.into(),
            args_bytes: args.len() as u64,
            ..Image::default()
        }
    }

    #[test]
    fn arguments_keep_empty_ones_and_newlines() {
        let image = image(b"a\0\0b\nc\0\0");
        let parts: Vec<_> = image.arguments().collect();
        assert_eq!(parts, [&b"a"[..], b"", b"b\nc", b""]);
        assert_eq!(image.command_line(), "a  b\nc ");
    }

    #[test]
    fn a_cut_argument_counts_and_no_argument_is_none() {
        assert_eq!(image(b"a\0bcd").arguments().count(), 2);
        assert_eq!(image(b"").arguments().count(), 0);
        assert_eq!(image(b"\0").arguments().count(), 1);
    }
}
