//! What the kernel's records leave out and `/proc`, the user database and the cgroup tree add. Each look-up is cached or
//! done once per life; nothing here is asked again for a process that is known.

pub mod cgroup;
pub mod clock;
pub mod devices;
pub mod procfs;
pub mod users;
