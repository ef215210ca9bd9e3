//! What the run before knew when it ended, from its last batches in the spool: with pinned rings this run goes on there.

use std::collections::HashMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use procmon_common::ids::BootId;
use procmon_common::wire;

use crate::enrich::procfs;
use crate::kernel::pin::{self, PinFolder};
use crate::kernel::{Continuity, RingMark};
use crate::spool::{SpoolWriter, SpooledBatch};

/// See the module.
#[derive(Debug, Default)]
pub struct Predecessor {
    pub processes: Vec<KnownProcess>,
    pub covered_since_unix_ns: i64,
    pub last_built_unix_ns: i64,
    marks: Vec<RingMark>,
}

/// One that was alive, or a zombie.
#[derive(Debug, Default)]
pub struct KnownProcess {
    pub process: wire::Process,
    pub has_told_exit: bool,
    /// The out-of-memory killer chose it.
    pub oom_chosen: bool,
}

/// With `pin`, or where pins are left: what to hand to the kernel's side and to the watch.
pub fn prepare(
    spool_dir: &Path,
    pin: bool,
    spool: &SpoolWriter,
) -> Result<(Option<Continuity>, Option<Predecessor>)> {
    let folder = if pin {
        Some(PinFolder::open(spool_dir)?)
    } else {
        PinFolder::left_behind(spool_dir)?
    };
    let Some(folder) = folder else {
        return Ok((None, None));
    };
    let batches = spool
        .tail()
        .context("cannot read what the run before spooled")?;
    let predecessor = read(&batches, procfs::boot_id()?);
    let marks = predecessor
        .as_ref()
        .map_or_else(Vec::new, |predecessor| predecessor.marks.clone());
    Ok((Some(Continuity { folder, pin, marks }), predecessor))
}

/// `procmon-agent unpin`: for an agent that does not come back.
pub fn unpin(spool_dir: &Path) -> Result<ExitCode> {
    match PinFolder::left_behind(spool_dir)? {
        Some(folder) => {
            let path = folder.path().to_path_buf();
            let versions = folder.remove_all()?;
            println!(
                "detached and removed what was pinned in {} (versions: {versions})",
                path.display()
            );
        }
        None => println!("nothing is pinned for the spool {}", spool_dir.display()),
    }
    for (version, _) in pin::survey(spool_dir).pinned {
        println!(
            "left alone, because it belongs to another spool: {} (name that with --spool-dir)",
            version.display()
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// `None` when nothing there was complete, or not of this boot.
fn read(batches: &[SpooledBatch], boot_id: BootId) -> Option<Predecessor> {
    let mut complete = None;
    let mut building = None;
    for batch in batches {
        let batch = wire::decode(&batch.payload, wire::MAX_DECODED_BYTES)
            .inspect_err(|error| tracing::error!("a batch in the spool cannot be read: {error}"))
            .ok()?;
        if *batch.boot_id != boot_id.0 {
            continue;
        }
        let more = batch.more;
        if batch.key {
            building = Some(Replay::default());
        }
        if let Some(replay) = building.as_mut().or(complete.as_mut()) {
            replay.apply(batch);
        }
        if !more && let Some(built) = building.take() {
            complete = Some(built);
        }
    }
    let replay = complete?;
    Some(Predecessor {
        processes: replay.processes.into_values().collect(),
        ..replay.predecessor
    })
}

#[derive(Debug, Default)]
struct Replay {
    processes: HashMap<u32, KnownProcess>,
    predecessor: Predecessor,
}

impl Replay {
    fn apply(&mut self, batch: wire::Batch) {
        for process in batch.processes {
            // One that is there already was sent again because something of it changed.
            let known = self.processes.entry(process.handle).or_default();
            known.process = process;
        }
        for event in batch.events {
            self.event(event);
        }
        for handle in batch.frame.into_iter().flat_map(|frame| frame.gone) {
            self.processes.remove(&handle);
        }
        if let Some(health) = batch.health {
            self.predecessor.covered_since_unix_ns = health.covered_since_unix_ns;
        }
        if !batch.rings.is_empty() {
            let marks = batch.rings.iter().map(|mark| RingMark {
                ring_id: mark.ring_id,
                position: mark.position,
            });
            self.predecessor.marks = marks.collect();
        }
        self.predecessor.last_built_unix_ns = batch.built_unix_ns;
    }

    fn event(&mut self, event: wire::Event) {
        let Some(known) = self.processes.get_mut(&event.handle) else {
            return;
        };
        match event.kind {
            Some(wire::event::Kind::Exec(exec)) => {
                known.process.image = exec.image;
                known.process.credentials = exec.credentials;
            }
            Some(wire::event::Kind::Exit(exit)) if exit.totals_final => {
                self.processes.remove(&event.handle);
            }
            Some(wire::event::Kind::Exit(_)) => known.has_told_exit = true,
            Some(wire::event::Kind::Oom(_)) => known.oom_chosen = true,
            _ => {}
        }
    }
}

impl From<RingMark> for wire::RingMark {
    fn from(mark: RingMark) -> Self {
        Self {
            ring_id: mark.ring_id,
            position: mark.position,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: BootId = BootId([7; 16]);

    fn spooled(batch: &wire::Batch) -> SpooledBatch {
        SpooledBatch {
            epoch: batch.epoch,
            seq: batch.seq,
            key: batch.key,
            built_unix_ns: batch.built_unix_ns,
            payload: wire::encode(batch).expect("compresses").into(),
        }
    }

    fn batch(key: bool, pids: &[u32], events: Vec<wire::Event>) -> wire::Batch {
        let processes = pids.iter().map(|pid| wire::Process {
            handle: *pid,
            pid: *pid,
            ..wire::Process::default()
        });
        wire::Batch {
            boot_id: BOOT.0.to_vec().into(),
            key,
            processes: processes.collect(),
            events,
            rings: vec![wire::RingMark {
                ring_id: 3,
                position: 80,
            }],
            ..wire::Batch::default()
        }
    }

    fn exit(handle: u32, totals_final: bool) -> wire::Event {
        wire::Event {
            handle,
            kind: Some(wire::event::Kind::Exit(wire::Exit {
                totals_final,
                ..wire::Exit::default()
            })),
            ..wire::Event::default()
        }
    }

    fn known(batches: &[wire::Batch]) -> Option<Vec<(u32, bool)>> {
        let batches: Vec<_> = batches.iter().map(spooled).collect();
        let processes = read(&batches, BOOT)?.processes;
        let mut known: Vec<_> = processes
            .iter()
            .map(|known| (known.process.pid, known.has_told_exit))
            .collect();
        known.sort_unstable();
        Some(known)
    }

    #[test]
    fn the_last_batches_tell_who_lives_and_whose_end_was_told() {
        let exec = wire::Event {
            handle: 5,
            kind: Some(wire::event::Kind::Exec(wire::Exec {
                image: Some(wire::Image {
                    name: "new".into(),
                    ..wire::Image::default()
                }),
                ..wire::Exec::default()
            })),
            ..wire::Event::default()
        };
        let mut last = batch(false, &[6], vec![exit(1, true), exit(2, false), exec]);
        last.frame = Some(wire::Frame {
            gone: vec![3],
            ..wire::Frame::default()
        });
        last.rings[0].position = 160;
        let batches = [batch(true, &[1, 2, 3, 4, 5], Vec::new()), last];
        assert_eq!(
            known(&batches),
            Some(vec![(2, true), (4, false), (5, false), (6, false)])
        );
        let batches: Vec<_> = batches.iter().map(spooled).collect();
        let predecessor = read(&batches, BOOT).expect("complete");
        let mark = RingMark {
            ring_id: 3,
            position: 160,
        };
        assert_eq!(predecessor.marks, [mark]);
        let processes = predecessor.processes.iter().map(|known| &known.process);
        let fifth = processes.into_iter().find(|process| process.pid == 5);
        let image = fifth.and_then(|process| process.image.clone());
        assert_eq!(image.unwrap_or_default().name, "new");
    }

    #[test]
    fn a_key_that_broke_off_leaves_what_was_known_before() {
        let mut begun = batch(true, &[9], Vec::new());
        begun.more = true;
        let before = batch(true, &[1], Vec::new());
        assert_eq!(
            known(&[before.clone(), begun.clone()]),
            Some(vec![(1, false)])
        );
        assert_eq!(known(std::slice::from_ref(&begun)), None);
        let rest = batch(false, &[10], Vec::new());
        assert_eq!(
            known(&[before, begun, rest]),
            Some(vec![(9, false), (10, false)])
        );
    }

    #[test]
    fn another_boot_tells_nothing() {
        let mut other = batch(true, &[1], Vec::new());
        other.boot_id = vec![8; 16].into();
        assert_eq!(known(&[other]), None);
    }
}
