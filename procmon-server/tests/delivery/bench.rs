//! Sending without a server around it: a store, channels and the task that sends.

use std::path::Path;
use std::sync::Arc;

use procmon_server::alerts::LabelSet;
use procmon_server::clock::Clock;
use procmon_server::delivery::channel::{ChannelKind, Grouping, Settings, Target};
use procmon_server::delivery::route::Alert;
use procmon_server::delivery::{Directory, KeyFile, run_sender};
use procmon_server::store::{ChannelRow, MessageState, OutboxRow, Place, Store};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::START_MS;
use crate::support::receiver::until;

pub(crate) const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
pub(crate) const OLD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

pub(crate) struct Bench {
    pub(crate) store: Store,
    pub(crate) directory: Arc<Directory>,
    pub(crate) clock: Clock,
    task: JoinHandle<anyhow::Result<()>>,
    writer: JoinHandle<anyhow::Result<()>>,
    shutdown: CancellationToken,
}

pub(crate) fn webhook(id: &str, url: &str) -> NewChannel {
    NewChannel {
        id: id.to_owned(),
        kind: ChannelKind::Webhook,
        url: url.to_owned(),
        secrets: vec![SECRET.to_owned(), OLD_SECRET.to_owned()],
        grouping: None,
    }
}

pub(crate) struct NewChannel {
    pub(crate) id: String,
    pub(crate) kind: ChannelKind,
    pub(crate) url: String,
    pub(crate) secrets: Vec<String>,
    pub(crate) grouping: Option<Grouping>,
}

impl NewChannel {
    async fn save(self, store: &Store, key: &KeyFile) {
        let settings = Settings {
            matchers: Vec::new(),
            filter: None,
            wants_alerts: true,
            grouping: self.grouping,
            repeat_interval_ms: 4 * 3_600_000,
            enabled_ms: 0,
        };
        let target = Target {
            url: self.url,
            secrets: self.secrets,
        };
        let target = serde_json::to_vec(&target).expect("JSON");
        let row = ChannelRow {
            name: self.id.clone(),
            kind: self.kind.name().to_owned(),
            enabled: true,
            disabled_reason: String::new(),
            settings: serde_json::to_string(&settings).expect("JSON"),
            sealed: key.seal(&self.id, &target).expect("it encrypts"),
            event_cursor: None,
            created_ms: 0,
            updated_ms: 0,
            channel_id: self.id,
        };
        store
            .delivery()
            .save_channel(&row)
            .await
            .expect("it stores");
    }
}

impl Bench {
    pub(crate) async fn start(folder: &Path, channels: Vec<NewChannel>) -> Self {
        let clock = Clock::manual(START_MS);
        Self::start_with(folder, clock, channels, "127.0.0.0/8").await
    }

    pub(crate) async fn start_with(
        folder: &Path,
        clock: Clock,
        channels: Vec<NewChannel>,
        allowed: &str,
    ) -> Self {
        let place = Place::Directory(folder.to_owned());
        Self::start_at(place, folder, clock, channels, allowed).await
    }

    /// With a store somewhere else than in the folder, which has the key all the same.
    pub(crate) async fn start_at(
        place: Place,
        folder: &Path,
        clock: Clock,
        channels: Vec<NewChannel>,
        allowed: &str,
    ) -> Self {
        let (store, writer) = Store::open(place, clock.clone()).await.expect("it opens");
        let shutdown = CancellationToken::new();
        let writer = tokio::spawn(writer.run(shutdown.clone()));
        let key = KeyFile::new(Some(folder.join("secret.key")));
        for channel in channels {
            channel.save(&store, &key).await;
        }
        let allowed = allowed.parse().expect("networks");
        let directory = Directory::open(store.clone(), clock.clone(), key, allowed).await;
        let directory = Arc::new(directory.expect("it opens"));
        let task = tokio::spawn(run_sender(Arc::clone(&directory), shutdown.clone()));
        Self {
            store,
            directory,
            clock,
            task,
            writer,
            shutdown,
        }
    }

    /// As kill -9: nothing more is written.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
        self.shutdown.cancel();
        let _ = self.writer.await;
        self.store.close().await;
    }

    /// A round in which alerts fire or are resolved, stored and told.
    pub(crate) async fn round(&self, alerts: &[(&str, bool)]) {
        let alerts = alerts.iter();
        let alerts: Vec<_> = alerts
            .map(|(name, fires)| (*name, START_MS, *fires))
            .collect();
        self.round_of(&alerts).await;
    }

    /// The same, with when each of them began to fire.
    pub(crate) async fn round_of(&self, alerts: &[(&str, i64, bool)]) {
        let (labels, none) = (labels(), LabelSet::default());
        let now_ms = self.clock.now_ms();
        let alerts = alerts.iter().map(|(fingerprint, fired_ms, fires)| Alert {
            fingerprint,
            rule_id: "busy",
            labels: &labels,
            annotations: &none,
            value: Some(1.0),
            active_ms: *fired_ms,
            fired_ms: *fired_ms,
            resolved_ms: (!fires).then_some(now_ms),
            reason: None,
            transition_id: None,
            acknowledged: false,
            stale: false,
            host_down: false,
        });
        let alerts: Vec<_> = alerts.collect();
        let routed = self.directory.decide(&alerts, &|_| false);
        let rows = self.store.delivery();
        rows.route(&routed).await.expect("it stores");
        self.directory.committed(&routed, &alerts);
    }

    pub(crate) async fn messages(&self, channel_id: &str) -> Vec<OutboxRow> {
        let rows = self.store.delivery();
        let messages = rows.deliveries(channel_id, None, i64::MAX, 1000).await;
        let mut messages = messages.expect("it reads");
        messages.reverse();
        messages
    }

    /// Waits until the messages of a channel have these states, oldest first.
    pub(crate) async fn wait_for(&self, channel_id: &str, wanted: &[(MessageState, i64)]) {
        until(&format!("{wanted:?}"), async || {
            let messages = self.messages(channel_id).await.into_iter();
            let found = messages.map(|message| (message.state, message.attempts));
            found.collect::<Vec<_>>() == wanted
        })
        .await;
    }

    /// Moves the clock to when the message is tried next.
    pub(crate) async fn advance_to_next(&self, channel_id: &str) -> i64 {
        let next = self.store.delivery().next_due(channel_id).await;
        let next_ms = next.expect("it reads").expect("one that waits");
        let wait_ms = next_ms - self.clock.now_ms();
        self.clock.advance_ms(wait_ms);
        wait_ms
    }
}

pub(crate) fn labels() -> LabelSet {
    let labels = [
        ("alertname", "Busy"),
        ("agent_id", "web-1"),
        ("severity", "critical"),
    ];
    labels.into_iter().collect()
}
