//! Names of block devices.

use std::collections::HashMap;

/// More disks than a host has.
const MAX_CACHED: usize = 4096;

/// Names by device number. A number may be given to another disk; that is rare, and the cache is bounded.
#[derive(Debug, Default)]
pub struct DeviceNames {
    known: HashMap<(u32, u32), String>,
}

impl DeviceNames {
    /// As in `/sys/class/block`; empty when the kernel has no such device (any more).
    pub fn name(&mut self, major: u32, minor: u32) -> String {
        if let Some(name) = self.known.get(&(major, minor)) {
            return name.clone();
        }
        let link =
            std::fs::read_link(format!("/sys/dev/block/{major}:{minor}")).unwrap_or_default();
        let name = link
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        if !name.is_empty() {
            if self.known.len() >= MAX_CACHED {
                self.known.clear();
            }
            self.known.insert((major, minor), name.clone());
        }
        name
    }
}
