//! Numbers for what many lives have in common: a scan that has decided about one of them need not look at the next.

use crate::batch::Life;

/// What a mark stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Common {
    /// Program and arguments. None for uploads, of which the same image may show different arguments.
    Image,
    Name,
    Credentials,
    Cgroup,
    Container,
    Unit,
}

impl Common {
    pub const ALL: [Self; 6] = [
        Self::Image,
        Self::Name,
        Self::Credentials,
        Self::Cgroup,
        Self::Container,
        Self::Unit,
    ];

    /// Those of some kinds of marks.
    pub fn of_kinds(kinds: &[usize]) -> Vec<Self> {
        let all = Self::ALL.into_iter();
        all.filter(|common| kinds.contains(&(*common as usize)))
            .collect()
    }
}

/// Of things of one kind, equal marks stand for equal things, for as long as a [`super::Shared::scan`] is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks([u32; 6]);

/// Says nothing: whoever has it is to be looked at.
pub const UNMARKED: u32 = 0;
/// There is none.
pub const ABSENT: u32 = 1;
/// The first that stands for something.
pub(super) const FIRST: u32 = 2;

impl Marks {
    pub(super) fn set(&mut self, common: Common, mark: u32) {
        self.0[common as usize] = mark;
    }

    pub fn get(&self, common: Common) -> u32 {
        self.0[common as usize]
    }

    /// As [`Self::get`]; a kind that there is not says nothing.
    pub fn of_kind(&self, common: usize) -> u32 {
        self.0.get(common).copied().unwrap_or(UNMARKED)
    }

    /// Of a life that shares nothing: what it lacks is known all the same.
    pub(super) fn absent(life: &Life) -> Self {
        let mut marks = Self::default();
        for (common, known) in [
            (Common::Image, life.image.is_some()),
            (Common::Name, life.image.is_some()),
            (Common::Credentials, life.credentials.is_some()),
            (Common::Cgroup, life.cgroup.is_some()),
            (Common::Container, life.container_id.is_some()),
            (Common::Unit, life.systemd_unit.is_some()),
        ] {
            marks.set(common, if known { UNMARKED } else { ABSENT });
        }
        marks
    }
}
