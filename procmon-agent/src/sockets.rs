//! Internet sockets of processes below the level `ebpf`: what sockets there are, from `sock_diag` once per network
//! namespace; whose they are, from the links in `/proc/PID/fd`, which are read only when the number of descriptors has
//! changed or a socket is gone.

mod diag;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use foldhash::fast::RandomState;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Descriptors of one process that are looked at. Sockets beyond them are not seen, and `net_conns` is unknown then.
const MAX_FDS: usize = 65_536;
/// Network namespaces that are looked into; processes in others have no known sockets.
const MAX_NAMESPACES: usize = 1024;

/// What is known of each process's sockets. Refreshed with each sample.
#[derive(Debug, Default)]
pub struct Sockets {
    processes: HashMap<u32, Holder, RandomState>,
    refreshes: u64,
}

#[derive(Debug, Default)]
struct Holder {
    start: u64,
    open_fds: Option<u64>,
    /// Inode of its network namespace; `None` without permission.
    namespace: Option<u64>,
    /// Inodes of all its sockets, ascending; `None` without permission.
    sockets: Option<Vec<u32>>,
    /// How many of them are Internet sockets; `None`: not known.
    internet: Option<u32>,
    ports: Vec<u16>,
    seen_in: u64,
}

/// The Internet sockets of all namespaces that could be looked into, by inode: those are unique on a host.
#[derive(Default)]
struct Found {
    ports: HashMap<u32, Option<u16>, RandomState>,
    namespaces: HashSet<u64>,
}

impl Sockets {
    /// Looks at these processes: pid, start (whatever tells lives with one pid apart) and number of open descriptors. Forgets all others.
    pub fn refresh(&mut self, processes: impl Iterator<Item = (u32, u64, Option<u64>)>) {
        self.refreshes += 1;
        for (pid, start, open_fds) in processes {
            let holder = self.processes.entry(pid).or_default();
            let is_same =
                holder.seen_in > 0 && (holder.start, holder.open_fds) == (start, open_fds);
            if !is_same {
                *holder = Holder {
                    start,
                    open_fds,
                    ..Holder::read(pid)
                };
            }
            holder.seen_in = self.refreshes;
        }
        let refreshes = self.refreshes;
        self.processes
            .retain(|_, holder| holder.seen_in == refreshes);
        let found = self.find();
        for (pid, holder) in &mut self.processes {
            let before = holder.internet;
            holder.match_with(&found);
            if holder.internet < before {
                // One was closed and another descriptor opened in its place: what that is must be read.
                let (start, open_fds) = (holder.start, holder.open_fds);
                *holder = Holder {
                    start,
                    open_fds,
                    seen_in: refreshes,
                    ..Holder::read(*pid)
                };
                holder.match_with(&found);
            }
        }
    }

    /// Number of TCP and UDP sockets, and the ports at which the process waits (listening TCP, UDP without a peer),
    /// ascending. `None`: not known.
    pub fn of(&self, pid: u32) -> Option<(u32, &[u16])> {
        let holder = self.processes.get(&pid)?;
        Some((holder.internet?, &holder.ports))
    }

    /// Looks into the network namespace of every process that has sockets.
    fn find(&self) -> Found {
        let mut found = Found::default();
        let own = fs::metadata("/proc/self/ns/net")
            .map(|namespace| namespace.ino())
            .ok();
        if let Some(own) = own {
            found.look(own);
        }
        let mut others = BTreeSet::new();
        let mut members = Vec::new();
        for (pid, holder) in &self.processes {
            if let Some(namespace) = holder.namespace
                && holder.namespace != own
                && others.len() < MAX_NAMESPACES
                && others.insert(namespace)
            {
                members.push((namespace, *pid));
            }
        }
        if members.is_empty() {
            return found;
        }
        // A namespace is a thread's: one that ends afterwards need not find back.
        std::thread::scope(|scope| {
            let visit = scope.spawn(|| {
                for (namespace, pid) in members {
                    if enter(pid, namespace).is_ok() {
                        found.look(namespace);
                    }
                }
                found
            });
            visit.join().unwrap_or_default()
        })
    }
}

/// Moves the calling thread into this network namespace, of which `pid` was a member.
fn enter(pid: u32, namespace: u64) -> anyhow::Result<()> {
    let link = File::open(format!("/proc/{pid}/ns/net"))?;
    anyhow::ensure!(
        link.metadata()?.ino() == namespace,
        "{pid} is another process"
    );
    move_into_link_name_space(link.as_fd(), Some(LinkNameSpaceType::Network))?;
    Ok(())
}

impl Found {
    fn look(&mut self, namespace: u64) {
        let ports = &mut self.ports;
        match diag::dump(|socket| {
            ports.insert(socket.inode, socket.port);
        }) {
            Ok(()) => {
                self.namespaces.insert(namespace);
            }
            Err(error) => tracing::debug!("sockets of a network namespace: {error:#}"),
        }
    }
}

impl Holder {
    fn read(pid: u32) -> Self {
        Self {
            namespace: fs::metadata(format!("/proc/{pid}/ns/net"))
                .map(|namespace| namespace.ino())
                .ok(),
            sockets: sockets_of(pid),
            ..Self::default()
        }
    }

    fn match_with(&mut self, found: &Found) {
        let can_be_seen = self
            .namespace
            .is_some_and(|namespace| found.namespaces.contains(&namespace));
        let Some(sockets) = self.sockets.as_ref().filter(|_| can_be_seen) else {
            self.internet = None;
            self.ports.clear();
            return;
        };
        let known = || sockets.iter().filter_map(|inode| found.ports.get(inode));
        self.internet = Some(known().count() as u32);
        let ports: BTreeSet<u16> = known().copied().flatten().collect();
        if !self.ports.iter().eq(&ports) {
            self.ports = ports.into_iter().collect();
        }
    }
}

/// Inodes of the sockets that a process has open. `None` when it may not be looked at, or has too many descriptors.
fn sockets_of(pid: u32) -> Option<Vec<u32>> {
    let mut sockets = Vec::new();
    for (index, entry) in fs::read_dir(format!("/proc/{pid}/fd")).ok()?.enumerate() {
        if index >= MAX_FDS {
            return None;
        }
        // Closed meanwhile, otherwise.
        if let Ok(entry) = entry
            && let Ok(link) = fs::read_link(entry.path())
            && let Some(inode) = link
                .to_str()
                .and_then(|link| link.strip_prefix("socket:[")?.strip_suffix(']'))
                .and_then(|inode| inode.parse().ok())
        {
            sockets.push(inode);
        }
    }
    sockets.sort_unstable();
    sockets.dedup();
    Some(sockets)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::*;
    use crate::enrich::procfs;

    fn refresh(sockets: &mut Sockets, pid: u32) {
        let start = procfs::stat(pid).expect("it lives").start_ticks;
        sockets.refresh([(pid, start, procfs::open_fds(pid))].into_iter());
    }

    /// Other tests of this process open sockets of their own: these are among them, or not any more.
    #[test]
    fn sockets_of_this_process() {
        let pid = std::process::id();
        let mut sockets = Sockets::default();
        let tcp = TcpListener::bind("127.0.0.1:0").expect("binds");
        let udp = UdpSocket::bind("127.0.0.1:0").expect("binds");
        let address = tcp.local_addr().expect("an address");
        let stream = TcpStream::connect(address).expect("connects");
        let udp_port = udp.local_addr().expect("an address").port();
        let stream_port = stream.local_addr().expect("an address").port();
        refresh(&mut sockets, pid);
        let (count, ports) = sockets.of(pid).expect("known");
        assert!(count >= 3, "{count}");
        assert!(ports.contains(&address.port()), "{ports:?}");
        assert!(ports.contains(&udp_port), "{ports:?}");
        assert!(!ports.contains(&stream_port), "{ports:?}");
        assert!(ports.is_sorted());
        // The same number of descriptors, and another socket.
        drop(tcp);
        let other = TcpListener::bind("127.0.0.1:0").expect("binds");
        let other_port = other.local_addr().expect("an address").port();
        refresh(&mut sockets, pid);
        let (_, ports) = sockets.of(pid).expect("known");
        assert!(!ports.contains(&address.port()), "{ports:?}");
        assert!(ports.contains(&other_port), "{ports:?}");
    }

    #[test]
    fn a_process_that_is_gone_is_forgotten() {
        let mut sockets = Sockets::default();
        refresh(&mut sockets, std::process::id());
        assert!(sockets.of(std::process::id()).is_some());
        sockets.refresh(std::iter::empty());
        assert!(sockets.of(std::process::id()).is_none());
        sockets.refresh([(5_000_000, 1, None)].into_iter());
        assert_eq!(sockets.of(5_000_000), None, "not there is not zero");
    }
}
