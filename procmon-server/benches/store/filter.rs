//! Of what an agent saw on the whole host, only the bench's own processes: those of one PID namespace.

use std::collections::HashSet;

use procmon_server::batch::{Batch, Event, Life};

/// Follows which handles are those of the namespace.
#[derive(Debug)]
pub(crate) struct Filter {
    namespace: u32,
    handles: HashSet<u32>,
}

impl Filter {
    pub(crate) fn new(namespace: u32) -> Self {
        Self {
            namespace,
            handles: HashSet::new(),
        }
    }

    fn takes(&self, life: &Life) -> bool {
        life.pid_namespace == Some(self.namespace)
    }

    pub(crate) fn apply(&mut self, mut batch: Batch) -> Batch {
        if batch.key && !batch.continues {
            self.handles.clear();
        }
        for (handle, life) in &batch.lives {
            if self.takes(life) {
                self.handles.insert(*handle);
            }
        }
        let ended = batch.ended.clone();
        batch.lives.retain(|(_, life)| self.takes(life));
        batch.ended.retain(|handle| self.handles.contains(handle));
        let own = |event: &Event| event.life.as_ref().is_some_and(|life| self.takes(life));
        batch.events.retain(own);
        if let Some(frame) = &mut batch.frame {
            for column in &mut frame.columns {
                let changes = &mut column.changes;
                changes.retain(|(handle, _)| self.handles.contains(handle));
            }
            frame.columns.retain(|column| !column.changes.is_empty());
            frame
                .ports
                .retain(|(handle, _)| self.handles.contains(handle));
            // They are of the whole host.
            frame.short_lived.clear();
            frame.block_latency.clear();
        }
        for handle in ended {
            self.handles.remove(&handle);
        }
        batch
    }
}
