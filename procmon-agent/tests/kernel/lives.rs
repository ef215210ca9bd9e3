//! All lives that batches or tables tell of, by what identifies a life.

use std::collections::HashMap;

use anyhow::{Context, Result};
use procmon_common::wire;
use wire::event::Kind;

/// pid and start: unique within a boot.
pub(crate) type LifeId = (u32, u64);

#[derive(Clone, Debug, Default)]
pub(crate) struct ToldLife {
    pub(crate) process: wire::Process,
    pub(crate) execs: Vec<(wire::Exec, bool)>,
    /// With whether it was deduced from samples.
    pub(crate) exits: Vec<(wire::Exit, bool)>,
}

impl ToldLife {
    pub(crate) fn command(&self) -> String {
        let image = self.execs.last().and_then(|(exec, _)| exec.image.clone());
        let image = image
            .or_else(|| self.process.image.clone())
            .unwrap_or_default();
        String::from_utf8_lossy(&image.name).into_owned()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Lives {
    pub(crate) by_id: HashMap<LifeId, ToldLife>,
    handles: HashMap<u32, LifeId>,
}

impl Lives {
    /// Handles begin anew, as with a key batch.
    pub(crate) fn forget_handles(&mut self) {
        self.handles.clear();
    }

    pub(crate) fn take(
        &mut self,
        processes: Vec<wire::Process>,
        events: Vec<wire::Event>,
    ) -> Result<()> {
        for process in processes {
            let id = (process.pid, process.start_ticks);
            self.handles.insert(process.handle, id);
            self.by_id.entry(id).or_default().process = process;
        }
        for event in events {
            let id = self.handles.get(&event.handle);
            let life = id.and_then(|id| self.by_id.get_mut(id));
            match event.kind {
                Some(Kind::Exec(exec)) => {
                    let life = life.context("an exec of an unknown process")?;
                    life.execs.push((exec, event.sampled));
                }
                Some(Kind::Exit(exit)) => {
                    let life = life.context("an exit of an unknown process")?;
                    life.exits.push((exit, event.sampled));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Those with this command.
    pub(crate) fn of(&self, command: &str) -> Vec<&ToldLife> {
        let lives = self.by_id.values();
        lives.filter(|life| life.command() == command).collect()
    }
}
