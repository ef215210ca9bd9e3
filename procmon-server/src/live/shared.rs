//! What many lives have in common, kept once for all hosts: programs, users, cgroups. A fleet runs the same things everywhere.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::KeptLife;
use super::marks::{Common, FIRST, Marks, UNMARKED};
use crate::batch::{Credentials, Image, Life};

/// Nothing is swept below this number: it is not worth it.
const SWEEP_FROM: usize = 1024;

/// Things by their marks.
type Pool<T> = HashMap<Arc<T>, u32, foldhash::quality::RandomState>;

/// What is in use somewhere. It holds what lives hold, and no more: what nobody uses is swept out.
#[derive(Debug, Default)]
pub struct Shared(Mutex<Pools>);

/// While it is held, no mark gets another meaning.
#[derive(Debug)]
pub struct Scan(#[expect(dead_code, reason = "it is there to be counted")] Arc<()>);

#[derive(Debug, Default)]
struct Pools {
    images: Pool<Image>,
    credentials: Pool<Credentials>,
    texts: Pool<str>,
    bytes: Pool<[u8]>,
    marks: MarkSource,
    /// How much there was after the last sweep.
    swept: usize,
}

/// Gives marks out, and those of what was swept out once more, as soon as no scan can have seen them.
#[derive(Debug, Default)]
struct MarkSource {
    /// Marks given out so far.
    used: u32,
    free: Vec<u32>,
    /// Held by every scan that began since the last sweep.
    now: Arc<()>,
    /// Marks that scans may still know, with what those hold.
    resting: VecDeque<(Arc<()>, Vec<u32>)>,
}

impl Shared {
    /// The same life, made of what is known already.
    pub(super) fn share(&self, life: &Life) -> KeptLife {
        let mut pools = self.pools();
        let mut marks = Marks::absent(life);
        let mut of_text = |common, text: Option<&Arc<str>>| {
            text.map(|text| {
                let Pools {
                    texts,
                    marks: source,
                    ..
                } = &mut *pools;
                let (text, mark) = pooled(texts, source, text);
                marks.set(common, mark);
                text
            })
        };
        let cgroup = of_text(Common::Cgroup, life.cgroup.as_ref());
        let container_id = of_text(Common::Container, life.container_id.as_ref());
        let systemd_unit = of_text(Common::Unit, life.systemd_unit.as_ref());
        let credentials = life.credentials.as_ref().map(|credentials| {
            let Pools {
                credentials: known,
                marks: source,
                ..
            } = &mut *pools;
            let (credentials, mark) = pooled(known, source, credentials);
            marks.set(Common::Credentials, mark);
            credentials
        });
        let image = life.image.as_ref().map(|image| {
            let (image, mark) = pools.image(image);
            marks.set(
                Common::Name,
                pools.bytes.get(&*image.name).copied().unwrap_or(UNMARKED),
            );
            if life.arguments().is_some() {
                marks.set(Common::Image, mark);
            }
            image
        });
        drop(pools);
        let life = Life {
            image,
            credentials,
            cgroup,
            container_id,
            systemd_unit,
            ..life.clone()
        };
        KeptLife::new(Arc::new(life), marks)
    }

    /// Marks keep their meaning until it is dropped.
    pub fn scan(&self) -> Scan {
        Scan(Arc::clone(&self.pools().marks.now))
    }

    /// Forgets what nobody uses any more, when there may be much of it.
    pub(super) fn sweep(&self) {
        let mut pools = self.pools();
        if pools.len() > SWEEP_FROM.max(pools.swept + pools.swept / 4) {
            let pools = &mut *pools;
            let mut freed = Vec::new();
            // Images first: they hold names.
            retain_used(&mut pools.images, &mut freed);
            retain_used(&mut pools.credentials, &mut freed);
            retain_used(&mut pools.texts, &mut freed);
            retain_used(&mut pools.bytes, &mut freed);
            pools.swept = pools.len();
            pools.marks.rest(freed);
        }
    }

    /// How many different things are kept.
    pub fn len(&self) -> usize {
        self.pools().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn pools(&self) -> MutexGuard<'_, Pools> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pools {
    fn len(&self) -> usize {
        self.images.len() + self.credentials.len() + self.texts.len() + self.bytes.len()
    }

    fn image(&mut self, image: &Arc<Image>) -> (Arc<Image>, u32) {
        if let Some((known, mark)) = self.images.get_key_value(image) {
            return (Arc::clone(known), *mark);
        }
        let fresh = Arc::new(Image {
            name: pooled(&mut self.bytes, &mut self.marks, &image.name).0,
            exe: pooled(&mut self.bytes, &mut self.marks, &image.exe).0,
            ..Image::clone(image)
        });
        let mark = self.marks.next();
        self.images.insert(Arc::clone(&fresh), mark);
        (fresh, mark)
    }
}

impl MarkSource {
    fn next(&mut self) -> u32 {
        if let Some(mark) = self.free.pop() {
            return mark;
        }
        if self.used == u32::MAX - FIRST {
            return UNMARKED;
        }
        self.used += 1;
        self.used - 1 + FIRST
    }

    /// Takes marks back.
    fn rest(&mut self, freed: Vec<u32>) {
        let held = std::mem::take(&mut self.now);
        self.resting.push_back((held, freed));
        while let Some((held, freed)) = self.resting.pop_front() {
            if Arc::strong_count(&held) > 1 {
                self.resting.push_front((held, freed));
                break;
            }
            self.free.extend(freed);
        }
    }
}

fn pooled<T: ?Sized + Eq + Hash>(
    pool: &mut Pool<T>,
    marks: &mut MarkSource,
    value: &Arc<T>,
) -> (Arc<T>, u32) {
    if let Some((known, mark)) = pool.get_key_value(&**value) {
        return (Arc::clone(known), *mark);
    }
    let mark = marks.next();
    pool.insert(Arc::clone(value), mark);
    (Arc::clone(value), mark)
}

fn retain_used<T: ?Sized + Eq + Hash>(pool: &mut Pool<T>, freed: &mut Vec<u32>) {
    pool.retain(|value, mark| {
        let used = Arc::strong_count(value) > 1;
        if !used && *mark != UNMARKED {
            freed.push(*mark);
        }
        used
    });
    pool.shrink_to(pool.len() + pool.len() / 4);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::marks::ABSENT;

    fn life(name: &str) -> Life {
        Life {
            image: Some(Arc::new(Image {
                name: name.as_bytes().into(),
                exe: b"/usr/bin/x".as_slice().into(),
                ..Image::default()
            })),
            cgroup: Some("/system.slice".into()),
            ..Life::default()
        }
    }

    #[test]
    fn equal_lives_are_made_of_the_same_things() {
        let shared = Shared::default();
        let (first, second) = (shared.share(&life("a")), shared.share(&life("a")));
        let other = shared.share(&life("b"));
        assert_eq!(**first, life("a"));
        let image = |life: &Life| life.image.clone().expect("an image");
        assert!(Arc::ptr_eq(&image(&first), &image(&second)));
        assert!(Arc::ptr_eq(&image(&first).exe, &image(&other).exe));
        let cgroup = |life: &Life| life.cgroup.clone().expect("a cgroup");
        assert!(Arc::ptr_eq(&cgroup(&first), &cgroup(&other)));
    }

    #[test]
    fn what_nobody_uses_is_forgotten() {
        let shared = Shared::default();
        let kept = shared.share(&life("kept"));
        for number in 0..SWEEP_FROM {
            shared.share(&life(&number.to_string()));
        }
        assert!(shared.len() > SWEEP_FROM);
        shared.sweep();
        assert_eq!(shared.len(), 4, "image, name, exe and cgroup of one");
        drop(kept);
    }

    #[test]
    fn equal_marks_are_equal_things() {
        let shared = Shared::default();
        let (first, second) = (shared.share(&life("a")), shared.share(&life("a")));
        let other = shared.share(&life("b"));
        let name = |life: &KeptLife| life.marks().get(Common::Name);
        assert_eq!(name(&first), name(&second));
        assert_ne!(name(&first), name(&other));
        assert_ne!(name(&first), UNMARKED);
        let cgroup = |life: &KeptLife| life.marks().get(Common::Cgroup);
        assert_eq!(cgroup(&first), cgroup(&other));
        assert_eq!(first.marks().get(Common::Container), ABSENT);
    }

    #[test]
    fn a_mark_that_a_scan_may_know_is_not_given_again() {
        let mut source = MarkSource::default();
        let marks = [source.next(), source.next()];
        assert_ne!(marks[0], marks[1]);
        let scan = Arc::clone(&source.now);
        source.rest(vec![marks[0]]);
        let fresh = source.next();
        assert!(!marks.contains(&fresh));
        drop(scan);
        source.rest(Vec::new());
        assert_eq!(source.next(), marks[0]);
    }
}
