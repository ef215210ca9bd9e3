//! What many lives have in common, kept once for all hosts: programs, users, cgroups. A fleet runs the same things everywhere.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::batch::{Credentials, Image, Life};

/// Nothing is swept below this number: it is not worth it.
const SWEEP_FROM: usize = 1024;

type Pool<T> = HashSet<Arc<T>, foldhash::quality::RandomState>;

/// What is in use somewhere. It holds what lives hold, and no more: what nobody uses is swept out.
#[derive(Debug, Default)]
pub struct Shared(Mutex<Pools>);

#[derive(Debug, Default)]
struct Pools {
    images: Pool<Image>,
    credentials: Pool<Credentials>,
    texts: Pool<str>,
    bytes: Pool<[u8]>,
    /// How much there was after the last sweep.
    swept: usize,
}

impl Shared {
    /// The same life, made of what is known already.
    pub(super) fn share(&self, life: &Life) -> Arc<Life> {
        let mut pools = self.pools();
        Arc::new(Life {
            image: life.image.as_ref().map(|image| pools.image(image)),
            credentials: life
                .credentials
                .as_ref()
                .map(|credentials| pooled(&mut pools.credentials, credentials)),
            cgroup: pools.text(life.cgroup.as_ref()),
            container_id: pools.text(life.container_id.as_ref()),
            systemd_unit: pools.text(life.systemd_unit.as_ref()),
            ..life.clone()
        })
    }

    /// Forgets what nobody uses any more, when there may be much of it.
    pub(super) fn sweep(&self) {
        let mut pools = self.pools();
        if pools.len() > SWEEP_FROM.max(pools.swept + pools.swept / 4) {
            // Images first: they hold names.
            retain_used(&mut pools.images);
            retain_used(&mut pools.credentials);
            retain_used(&mut pools.texts);
            retain_used(&mut pools.bytes);
            pools.swept = pools.len();
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

    fn image(&mut self, image: &Arc<Image>) -> Arc<Image> {
        if let Some(known) = self.images.get(image) {
            return Arc::clone(known);
        }
        let fresh = Arc::new(Image {
            name: pooled(&mut self.bytes, &image.name),
            exe: pooled(&mut self.bytes, &image.exe),
            ..Image::clone(image)
        });
        self.images.insert(Arc::clone(&fresh));
        fresh
    }

    fn text(&mut self, text: Option<&Arc<str>>) -> Option<Arc<str>> {
        text.map(|text| pooled(&mut self.texts, text))
    }
}

fn pooled<T: ?Sized + Eq + Hash>(pool: &mut Pool<T>, value: &Arc<T>) -> Arc<T> {
    if let Some(known) = pool.get(&**value) {
        return Arc::clone(known);
    }
    pool.insert(Arc::clone(value));
    Arc::clone(value)
}

fn retain_used<T: ?Sized + Eq + Hash>(pool: &mut Pool<T>) {
    pool.retain(|value| Arc::strong_count(value) > 1);
    pool.shrink_to(pool.len() + pool.len() / 4);
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(*first, life("a"));
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
}
