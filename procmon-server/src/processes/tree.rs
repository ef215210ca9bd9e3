//! Who started whom.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use utoipa::ToSchema;

use super::ProcessBody;
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

/// Builds the trees of a host. Everything is in them once, whatever the parents claim.
pub(super) fn build(views: &[ProcessView<'_>], include_zombies: bool) -> Vec<ProcessNode> {
    let mut order: Vec<usize> = (0..views.len()).collect();
    order.sort_unstable_by_key(|index| (views[*index].id.pid, views[*index].id));
    // Of several lives with one pid, the newest: the others have ended, and it was not seen.
    let by_pid: HashMap<u32, usize> = order
        .iter()
        .map(|index| (views[*index].id.pid, *index))
        .collect();
    let included = |index: usize| include_zombies || views[index].status() != Some('Z');
    let parents: Vec<Option<usize>> = (0..views.len())
        .map(|index| parent(views, &by_pid, &included, index))
        .collect();
    let mut children: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut roots = Vec::new();
    for index in order.into_iter().filter(|index| included(*index)) {
        match parents[index] {
            Some(parent) => children.entry(parent).or_default().push(index),
            None => roots.push(index),
        }
    }
    let mut builder = Builder {
        views,
        children,
        seen: HashSet::with_capacity(views.len()),
    };
    let mut trees: Vec<_> = roots
        .into_iter()
        .map(|root| builder.node(root, 1))
        .collect();
    // Parents in a circle: nothing that a kernel reports, but nothing that may hide a process either.
    let circles: Vec<_> = (0..views.len()).filter(|index| included(*index)).collect();
    for index in circles {
        if !builder.seen.contains(&index) {
            trees.push(builder.node(index, 1));
        }
    }
    trees
}

/// The nearest ancestor that is shown.
fn parent(
    views: &[ProcessView<'_>],
    by_pid: &HashMap<u32, usize>,
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

struct Builder<'a> {
    views: &'a [ProcessView<'a>],
    children: HashMap<usize, Vec<usize>>,
    seen: HashSet<usize>,
}

impl Builder<'_> {
    fn node(&mut self, index: usize, depth: usize) -> ProcessNode {
        self.seen.insert(index);
        let process = ProcessBody::new(&self.views[index]);
        let mut children = Vec::new();
        let mut below = self.take_children(index);
        if depth < MAX_DEPTH {
            children.extend(below.into_iter().map(|child| self.node(child, depth + 1)));
        } else {
            // As a flat list, in order of discovery.
            while let Some(child) = below.pop() {
                self.seen.insert(child);
                let deeper = self.take_children(child);
                below.extend(deeper);
                children.push(ProcessNode {
                    process: ProcessBody::new(&self.views[child]),
                    children: Vec::new(),
                });
            }
            children.sort_by_key(|child| child.process.pid);
        }
        ProcessNode { process, children }
    }

    fn take_children(&mut self, index: usize) -> Vec<usize> {
        let mut children = self.children.remove(&index).unwrap_or_default();
        children.retain(|child| !self.seen.contains(child));
        children
    }
}
