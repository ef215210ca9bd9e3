//! Who started whom.

use std::collections::HashMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::ProcessBody;
use super::json::ProcessWriter;
use crate::live::ProcessView;

/// Deeper processes are listed under their ancestor at this depth: readers of JSON have a limit too.
const MAX_DEPTH: usize = 100;

/// A process and what it started, by pid.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProcessNode)]
pub struct ProcessNode {
    #[serde(flatten)]
    pub process: ProcessBody,
    #[schema(no_recursion)]
    pub children: Vec<Self>,
}

/// Writes the trees of a host as a JSON list. Everything is in them once, whatever the parents claim.
pub(super) fn write(views: &[ProcessView<'_>], include_zombies: bool, out: &mut Vec<u8>) {
    let mut order: Vec<usize> = (0..views.len()).collect();
    order.sort_unstable_by_key(|index| (views[*index].id.pid, views[*index].id));
    // Of several lives with one pid, the newest: the others have ended, and it was not seen.
    let by_pid: HashMap<u32, usize, foldhash::quality::RandomState> = order
        .iter()
        .map(|index| (views[*index].id.pid, *index))
        .collect();
    let included = |index: usize| include_zombies || views[index].status() != Some('Z');
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); views.len()];
    let mut roots = Vec::new();
    for index in order.into_iter().filter(|index| included(*index)) {
        match parent(views, &by_pid, &included, index) {
            Some(parent) => children[parent].push(index),
            None => roots.push(index),
        }
    }
    let mut forest = Forest {
        views,
        children,
        seen: vec![false; views.len()],
        writer: ProcessWriter::default(),
        out,
    };
    forest.out.push(b'[');
    for root in roots {
        forest.node(root, 1);
    }
    // Parents in a circle: nothing that a kernel reports, but nothing that may hide a process either.
    for index in (0..views.len()).filter(|index| included(*index)) {
        if !forest.seen[index] {
            forest.node(index, 1);
        }
    }
    forest.out.push(b']');
}

/// The nearest ancestor that is shown.
fn parent(
    views: &[ProcessView<'_>],
    by_pid: &HashMap<u32, usize, foldhash::quality::RandomState>,
    included: &impl Fn(usize) -> bool,
    index: usize,
) -> Option<usize> {
    let mut current = index;
    for _ in 0..MAX_DEPTH {
        let ppid = views[current].ppid()?;
        let parent = *by_pid.get(&ppid)?;
        if parent == current {
            return None;
        }
        if included(parent) {
            return (parent != index).then_some(parent);
        }
        current = parent;
    }
    None
}

struct Forest<'a, 'o> {
    views: &'a [ProcessView<'a>],
    children: Vec<Vec<usize>>,
    seen: Vec<bool>,
    writer: ProcessWriter,
    out: &'o mut Vec<u8>,
}

impl Forest<'_, '_> {
    fn node(&mut self, index: usize, depth: usize) {
        self.seen[index] = true;
        self.begin(index);
        let mut below = self.take_children(index);
        if depth < MAX_DEPTH {
            for child in below {
                self.node(child, depth + 1);
            }
        } else {
            // As a flat list.
            let mut deep = Vec::new();
            while let Some(child) = below.pop() {
                self.seen[child] = true;
                below.extend(self.take_children(child));
                deep.push(child);
            }
            deep.sort_by_key(|child| self.views[*child].id.pid);
            for child in deep {
                self.begin(child);
                self.out.extend_from_slice(b"]}");
            }
        }
        self.out.extend_from_slice(b"]}");
    }

    /// Up to where its children begin.
    fn begin(&mut self, index: usize) {
        if self.out.last() == Some(&b'}') {
            self.out.push(b',');
        }
        self.writer.write_open(&self.views[index], self.out);
        self.out.extend_from_slice(b",\"children\":[");
    }

    fn take_children(&mut self, index: usize) -> Vec<usize> {
        let mut children = std::mem::take(&mut self.children[index]);
        children.retain(|child| !self.seen[*child]);
        children
    }
}
