//! Rules in the real binary, which is killed at any moment while alerts come and go: what it says became of them is what was
//! told of them, each with one id, and it is what really happened.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::binary::ServerProcess;
use crate::support::http_client;
use crate::support::postgres::Cluster;
use crate::support::random::Random;
use crate::support::receiver::{Receiver, Reply, until};

const PIDS: std::ops::Range<u32> = 11..15;
const STEPS: u64 = 8;

fn rules() -> [Value; 4] {
    let hot = json!({"metric": "cpu_percent", "operator": ">", "threshold": 80});
    let with = |more: Value| {
        let mut rule = hot.clone();
        let fields = more.as_object().expect("an object").clone();
        rule.as_object_mut().expect("an object").extend(fields);
        rule
    };
    [
        with(json!({"id": "busy", "name": "Busy"})),
        with(json!({"id": "long", "name": "Long", "for": "700ms"})),
        json!({"id": "came", "name": "Came", "kind": "event", "types": ["exec"], "process_name": "new-*", "keep_firing_for": "300ms"}),
        json!({"id": "gone", "name": "Gone", "kind": "absence", "process_name": "daemon"}),
    ]
}

/// A rule, and what tells its alert apart.
type Name = (String, String);

struct World {
    variables: Vec<(&'static str, String)>,
    server: Option<ServerProcess>,
    receiver: Receiver,
    /// Is told in groups: what is decided waits in the outbox for a while, and the server is killed meanwhile.
    grouped: Receiver,
    random: Random,
    hot: BTreeSet<u32>,
    newcomers: u64,
    daemon: bool,
    /// How often each alert is to fire, and to be resolved.
    wanted: BTreeMap<Name, [usize; 2]>,
    /// Since when the conditions of alerts hold that are not over.
    active: BTreeMap<Name, String>,
}

impl World {
    async fn new(seed: u64, place: Vec<(&'static str, String)>) -> Self {
        let mut world = Self {
            variables: place,
            server: None,
            receiver: Receiver::start().await,
            grouped: Receiver::start().await,
            random: Random(seed),
            hot: BTreeSet::new(),
            newcomers: 0,
            daemon: true,
            wanted: BTreeMap::new(),
            active: BTreeMap::new(),
        };
        world.start();
        world.upload().await;
        for rule in rules() {
            world.post("/alert-rules", &rule).await;
        }
        let channel = json!({"name": "x", "kind": "webhook", "url": world.receiver.url()});
        world.post("/channels", &channel).await;
        let grouped = json!({"name": "y", "kind": "webhook", "url": world.grouped.url(), "group_by": ["rule_id"], "group_wait": "400ms"});
        world.post("/channels", &grouped).await;
        world
    }

    fn start(&mut self) {
        let own = [
            ("PROCMON_WEBHOOK_ALLOW", "127.0.0.1"),
            ("PROCMON_EVAL_INTERVAL", "100ms"),
        ];
        let variables = self.variables.iter();
        let variables: Vec<_> = variables
            .map(|(name, value)| (*name, value.as_str()))
            .chain(own)
            .collect();
        self.server = Some(ServerProcess::start_with(&variables, 0));
    }

    fn kill(&mut self) {
        self.server.take().expect("it runs").kill();
        self.start();
    }

    fn url(&self, path: &str) -> String {
        let server = self.server.as_ref().expect("it runs");
        format!("http://{}/api/v1{path}", server.address)
    }

    async fn post(&self, path: &str, body: &Value) {
        let request = http_client().post(self.url(path)).json(body);
        let answer = request.send().await.expect("an answer");
        assert!(answer.status().is_success(), "{:?}", answer.text().await);
    }

    async fn get(&self, path: &str) -> Value {
        let answer = http_client().get(self.url(path)).send().await;
        answer.expect("an answer").json().await.expect("JSON")
    }

    /// How things are, told by the agent.
    async fn upload(&self) {
        let sample = |pid: u32, name: &str, cpu_percent: f64| json!({"pid": pid, "ppid": 1, "name": name, "cpu_percent": cpu_percent});
        let mut samples: Vec<_> = PIDS
            .map(|pid| {
                let cpu = if self.hot.contains(&pid) { 95.0 } else { 1.0 };
                sample(pid, "java", cpu)
            })
            .collect();
        samples.extend(self.daemon.then(|| sample(5, "daemon", 0.0)));
        let newcomers = 0..self.newcomers;
        samples.extend(
            newcomers.map(|number| sample(100 + number as u32, &format!("new-{number}"), 0.0)),
        );
        let path = self.url("/agents/a/processes");
        let body = json!({"agent_id": "a", "interval_s": 5, "samples": samples});
        let answer = http_client().post(path).json(&body).send().await;
        assert_eq!(answer.expect("an answer").status(), StatusCode::ACCEPTED);
    }

    /// Something becomes otherwise, and with it what alerts are to be there.
    fn change(&mut self) {
        let of = |rule: &str, subject: &str| (rule.to_owned(), subject.to_owned());
        for pid in PIDS {
            if self.random.below(3) > 0 {
                continue;
            }
            let fires = self.hot.insert(pid);
            if !fires {
                self.hot.remove(&pid);
            }
            for rule in ["busy", "long"] {
                let wanted = self.wanted.entry(of(rule, &pid.to_string())).or_default();
                wanted[usize::from(!fires)] += 1;
            }
        }
        if self.random.below(3) == 0 {
            self.daemon = !self.daemon;
            let wanted = self.wanted.entry(of("gone", "")).or_default();
            wanted[usize::from(self.daemon)] += 1;
        }
        if self.random.below(2) == 0 {
            let name = format!("new-{}", self.newcomers);
            self.wanted.insert(of("came", &name), [1, 1]);
            self.newcomers += 1;
        }
    }

    /// Waits until what fires is what is to fire. What is pending or fires did not begin anew meanwhile.
    async fn settles(&mut self) {
        let wanted: BTreeSet<Name> = (self.wanted.iter())
            .filter(|(_, [fired, resolved])| fired > resolved)
            .map(|(name, _)| name.clone())
            .collect();
        let started = std::time::Instant::now();
        loop {
            self.upload().await;
            let list = self.get("/alerts?state=pending,firing&limit=1000").await;
            let list = list["alerts"].as_array().expect("a list");
            let mut active = BTreeMap::new();
            let mut firing = BTreeSet::new();
            for alert in list {
                let name = name_of(alert);
                let at = alert["active_at"].as_str().expect("a time").to_owned();
                if let Some(before) = self.active.get(&name)
                    && name.0 != "came"
                {
                    assert_eq!(*before, at, "{name:?} began anew");
                }
                if alert["state"] == "firing" {
                    firing.insert(name.clone());
                }
                active.insert(name, at);
            }
            self.active = active;
            if firing == wanted {
                return;
            }
            let seconds = started.elapsed().as_secs();
            assert!(seconds < 60, "fires: {firing:?}, not {wanted:?}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    fn reply(&mut self) -> Reply {
        match self.random.below(8) {
            0..=2 => Reply::Silence,
            3 => Reply::Once(500),
            _ => Reply::Status(200),
        }
    }

    async fn step(&mut self) {
        let replies: Vec<_> = (0..4).map(|_| self.reply()).collect();
        self.receiver.forget_next();
        self.receiver.next(replies);
        self.change();
        self.upload().await;
        for _ in 0..self.random.below(3) {
            tokio::time::sleep(Duration::from_millis(self.random.below(250))).await;
            self.kill();
        }
        self.settles().await;
    }

    /// In the end nothing waits, and what was told is what happened.
    async fn finish(mut self, seed: u64) {
        self.receiver.forget_next();
        // Ends what waits for an answer that does not come.
        self.kill();
        self.settles().await;
        let channels = self.get("/channels").await;
        for channel in channels["channels"].as_array().expect("a list") {
            let channel = channel["id"].as_str().expect("an id");
            let deliveries = format!("/channels/{channel}/deliveries?limit=10000");
            until("everything", async || {
                let list = self.get(&deliveries).await;
                let list = list["deliveries"].as_array().expect("a list");
                list.iter().all(|delivery| delivery["state"] == "delivered")
            })
            .await;
        }
        let history = self.get("/alerts/history?limit=10000").await;
        let mut happened = BTreeMap::<Name, [usize; 2]>::new();
        let mut transitions = BTreeMap::new();
        for step in history["transitions"].as_array().expect("a list") {
            let (kind, place) = match (step["from"].as_str(), step["to"].as_str()) {
                (_, Some("firing")) => ("alert.firing", 0),
                (_, Some("resolved")) => ("alert.resolved", 1),
                _ => continue,
            };
            happened.entry(name_of(step)).or_default()[place] += 1;
            let fingerprint = step["fingerprint"].as_str().expect("text").to_owned();
            let id = step["id"].as_str().expect("text").to_owned();
            transitions.insert(id, [kind.to_owned(), fingerprint]);
        }
        assert_eq!(happened, self.wanted, "seed {seed}: what really happened");
        let told = self.receiver.told();
        assert_eq!(told.len(), transitions.len(), "seed {seed}: one id each");
        let told: BTreeMap<_, _> = told
            .into_values()
            .map(|[kind, fingerprint, transition]| (transition, [kind, fingerprint]))
            .collect();
        assert_eq!(told, transitions, "seed {seed}: what was told");
        let told = self.told_in_groups();
        assert_eq!(told.len(), transitions.len(), "seed {seed}: each once");
        let told: BTreeMap<_, _> = told.into_iter().collect();
        assert_eq!(told, transitions, "seed {seed}: what was told in groups");
    }

    /// Transition, and type and fingerprint, of each alert in each message that came, however often that came.
    fn told_in_groups(&self) -> Vec<(String, [String; 2])> {
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let requests = self.grouped.requests().into_iter();
        let messages: BTreeMap<_, _> = requests
            .map(|request| (request.id().to_owned(), request.json()))
            .collect();
        let members = messages
            .values()
            .flat_map(|message| message["data"]["alerts"].as_array().expect("a list"));
        members
            .map(|alert| {
                let kind = format!("alert.{}", text(&alert["state"]));
                let about = [kind, text(&alert["fingerprint"])];
                (text(&alert["transition_id"]), about)
            })
            .collect()
    }
}

fn name_of(alert: &Value) -> Name {
    let rule = alert["rule_id"].as_str().expect("text").to_owned();
    let labels = &alert["labels"];
    let subject = if rule == "came" {
        &labels["name"]
    } else {
        &labels["pid"]
    };
    (rule, subject.as_str().unwrap_or_default().to_owned())
}

async fn history(seed: u64, place: Vec<(&'static str, String)>) {
    let mut world = World::new(seed, place).await;
    for _ in 0..STEPS {
        world.step().await;
    }
    world.finish(seed).await;
}

fn data_dir(folder: &std::path::Path) -> (&'static str, String) {
    let folder = folder.to_str().expect("a path in UTF-8");
    ("PROCMON_DATA_DIR", folder.to_owned())
}

#[tokio::test]
async fn whatever_becomes_of_alerts_is_told_once_however_often_the_server_is_killed() {
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let [one, two] = folders
        .each_ref()
        .map(|folder| vec![data_dir(folder.path())]);
    tokio::join!(history(1, one), history(2, two));
}

#[tokio::test]
async fn the_same_with_its_data_in_postgres() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::shared();
    let dsn = ("PROCMON_DB_DSN", cluster.database());
    history(3, vec![data_dir(folder.path()), dsn]).await;
}
