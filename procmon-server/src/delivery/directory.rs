//! What routes, the sender and the rules share: the channels as they are now, and what each of them was told.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use serde_json::Value;
use tokio::sync::{Notify, Semaphore};

use super::address_guard::{AddressGuard, AllowedNetworks};
use super::channel::{Channel, ChannelKind};
use super::key_file::KeyFile;
use super::route::{self, Alert, Round, Told};
use super::send::HttpSender;
use super::stats::DeliveryStats;
use super::{body, stats};
use crate::clock::Clock;
use crate::store::{Routed, Store, StoreError};

/// Channels there may be. With the bound of attempts per channel it bounds what is under way.
pub(super) const MAX_CHANNELS: usize = 100;

const PROOFS: usize = 8;

pub(super) type Channels = Arc<[Arc<Channel>]>;

#[derive(Debug)]
pub struct Directory {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) key: KeyFile,
    pub(super) http: HttpSender,
    pub stats: DeliveryStats,
    channels: RwLock<Channels>,
    told: Mutex<Told>,
    /// What Alertmanagers are reminded of, by channel.
    firing: Mutex<HashMap<String, Arc<[Value]>>>,
    /// Channels with something new to send; bounded by the number of channels.
    dirty: Mutex<HashSet<String>>,
    wake: Notify,
    proofs: AtomicU64,
    /// Tests under way at a time; more are told to come back.
    pub(super) proving: Semaphore,
    /// One change of the channels at a time.
    pub(super) changing: tokio::sync::Mutex<()>,
}

/// Whatever panicked with it left it whole: each change is one step.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Directory {
    pub async fn open(
        store: Store,
        clock: Clock,
        key: KeyFile,
        allowed: AllowedNetworks,
    ) -> anyhow::Result<Self> {
        store.delivery().drop_orphans().await?;
        let told = store.delivery().told().await?;
        let directory = Self {
            http: HttpSender::new(AddressGuard::new(allowed))?,
            store,
            clock,
            key,
            stats: DeliveryStats::default(),
            channels: RwLock::new(Arc::default()),
            told: Mutex::new(Told::new(told)),
            firing: Mutex::default(),
            dirty: Mutex::default(),
            wake: Notify::new(),
            proofs: AtomicU64::new(0),
            proving: Semaphore::new(PROOFS),
            changing: tokio::sync::Mutex::default(),
        };
        directory.reload().await?;
        Ok(directory)
    }

    /// Reads the channels anew, after a change.
    pub(super) async fn reload(&self) -> Result<(), StoreError> {
        let rows = self.store.delivery().channels().await?;
        let mut channels = Vec::new();
        for row in rows {
            let name = row.name.clone();
            match Channel::read(row, &self.key) {
                Ok(channel) => {
                    if let Err(reason) = &channel.target {
                        tracing::error!(channel = name, "a channel cannot be used: {reason}");
                    }
                    channels.push(Arc::new(channel));
                }
                Err(error) => {
                    tracing::error!(channel = name, "a channel cannot be read: {error:#}");
                }
            }
        }
        let known: HashSet<&str> = channels.iter().map(|channel| channel.id()).collect();
        locked(&self.firing).retain(|channel_id, _| known.contains(&**channel_id));
        let enabled = channels.iter().filter(|channel| channel.row.enabled);
        let enabled = enabled.count() as u64;
        let count = &self.stats.channels;
        count.store(enabled, Ordering::Relaxed);
        let all = channels.iter().map(|channel| channel.id().to_owned());
        locked(&self.dirty).extend(all);
        *self
            .channels
            .write()
            .unwrap_or_else(PoisonError::into_inner) = channels.into();
        self.wake.notify_one();
        Ok(())
    }

    pub fn channels(&self) -> Channels {
        let channels = self.channels.read();
        Arc::clone(&channels.unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn find(&self, channel_id: &str) -> Option<Arc<Channel>> {
        let channels = self.channels();
        let found = channels.iter().find(|channel| channel.id() == channel_id);
        found.cloned()
    }

    /// What a round of alerts leads to. Store it together with the round, and then say so with [`Self::committed`].
    pub fn decide(&self, alerts: &[Alert<'_>], silenced: &dyn Fn(&Alert<'_>) -> bool) -> Routed {
        route::messages(&Round {
            now_ms: self.clock.now_ms(),
            channels: &self.channels(),
            alerts,
            told: &locked(&self.told),
            silenced,
        })
    }

    /// Takes over what was stored of a round, and sends it.
    pub fn committed(&self, routed: &Routed, alerts: &[Alert<'_>]) {
        let mut told = locked(&self.told);
        told.apply(routed);
        let mut firing = HashMap::new();
        for channel in self.channels().iter() {
            if channel.kind == ChannelKind::Alertmanager && channel.row.enabled {
                let told = alerts
                    .iter()
                    .filter(|alert| alert.resolved_ms.is_none() && told.fires(channel.id(), alert));
                let bodies = told.map(|alert| body::alertmanager(&body::alert_data(alert, 0)));
                firing.insert(channel.id().to_owned(), bodies.collect());
            }
        }
        drop(told);
        *locked(&self.firing) = firing;
        self.wake(routed.messages.iter().map(|message| &*message.channel_id));
    }

    pub(super) fn firing(&self, channel_id: &str) -> Option<Arc<[Value]>> {
        let firing = locked(&self.firing).get(channel_id).map(Arc::clone);
        firing.filter(|firing| !firing.is_empty())
    }

    /// Says that there is something new to send.
    pub(super) fn wake<'a>(&self, channel_ids: impl Iterator<Item = &'a str>) {
        locked(&self.dirty).extend(channel_ids.map(str::to_owned));
        self.wake.notify_one();
    }

    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    pub(super) fn take_dirty(&self) -> HashSet<String> {
        std::mem::take(&mut *locked(&self.dirty))
    }

    /// Nobody is sent anything through a disabled channel, and what waited for it is given up.
    pub(super) async fn disable(&self, channel_id: &str, reason: &str) -> Result<(), StoreError> {
        let _changing = self.changing.lock().await;
        let now_ms = self.clock.now_ms();
        let rows = self.store.delivery();
        rows.disable_channel(channel_id, reason, now_ms).await?;
        self.forget(channel_id);
        if !reason.is_empty() {
            stats::add(&self.stats.disabled, 1);
            tracing::warn!(channel_id, "a channel was disabled: {reason}");
        }
        self.reload().await
    }

    /// Tells tests of one millisecond apart.
    pub(super) fn next_proof(&self) -> u64 {
        self.proofs.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn forget(&self, channel_id: &str) {
        locked(&self.told).forget_channel(channel_id);
    }
}
