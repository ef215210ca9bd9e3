//! Names of users, from the host's user database (NSS), cached for a minute: a user may be added or renamed.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use procmon_common::wire;

const KEEP: Duration = Duration::from_mins(1);
/// More users than a host has; a process may still pick uids at will.
const MAX_CACHED: usize = 65_536;

#[derive(Debug, Default)]
pub struct Users {
    known: HashMap<u32, (Option<String>, Instant)>,
}

impl Users {
    /// Real and effective user and real group, with the real user's name.
    pub fn credentials(&mut self, (uid, euid, gid): (u32, u32, u32)) -> wire::Credentials {
        wire::Credentials {
            uid,
            euid: Some(euid),
            gid,
            username: self.name(uid),
        }
    }

    /// `None`: the host has no user of this number.
    pub fn name(&mut self, uid: u32) -> Option<String> {
        let now = Instant::now();
        if let Some((name, read)) = self.known.get(&uid)
            && now.duration_since(*read) < KEEP
        {
            return name.clone();
        }
        if self.known.len() >= MAX_CACHED {
            self.known.clear();
        }
        let name =
            uzers::get_user_by_uid(uid).map(|user| user.name().to_string_lossy().into_owned());
        self.known.insert(uid, (name.clone(), now));
        name
    }
}
