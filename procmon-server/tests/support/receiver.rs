//! Somebody who is told: a real HTTP server whose answers a test decides.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Status(u16),
    /// With a header.
    With(u16, &'static str, String),
    /// None, for as long as the connection lasts.
    Silence,
    /// A success, after so many milliseconds.
    After(u64),
    /// To a message that comes for the first time; one that came before is taken.
    Once(u16),
    /// A success whose body never ends: kilobytes at once, or nothing after the beginning.
    Flood,
    Stall,
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().expect("text"))
    }

    pub(crate) fn id(&self) -> &str {
        self.header("webhook-id")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

#[derive(Debug, Default)]
struct Script {
    /// Answered first, one each.
    next: VecDeque<Reply>,
    otherwise: Option<Reply>,
    requests: Vec<Request>,
}

#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    script: Arc<Mutex<Script>>,
    task: JoinHandle<()>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        Self::start_at(0).await
    }

    pub(crate) async fn start_at(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port))
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        let script = Arc::<Mutex<Script>>::default();
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&script));
        let task = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("it serves");
        });
        Self {
            address,
            script,
            task,
        }
    }

    /// A port where nobody listens.
    pub(crate) async fn nobody() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        listener.local_addr().expect("an address").port()
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub(crate) fn otherwise(&self, reply: Reply) {
        self.script().otherwise = Some(reply);
    }

    pub(crate) fn next(&self, replies: impl IntoIterator<Item = Reply>) {
        self.script().next.extend(replies);
    }

    pub(crate) fn forget_next(&self) {
        self.script().next.clear();
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.script().requests.clone()
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        let requests = self.requests().into_iter();
        requests.map(|request| request.id().to_owned()).collect()
    }

    /// What it was told of alerts: type, fingerprint and transition of each message, by its id.
    pub(crate) fn told(&self) -> BTreeMap<String, [String; 3]> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let requests = self.requests().into_iter();
        requests
            .map(|request| {
                let body = request.json();
                let data = &body["data"];
                let told = [&body["type"], &data["fingerprint"], &data["transition_id"]];
                (request.id().to_owned(), told.map(text))
            })
            .collect()
    }

    /// Waits until so many requests have come.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Request> {
        until(&format!("{count} requests"), async || {
            self.requests().len() >= count
        })
        .await;
        self.requests()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    State(script): State<Arc<Mutex<Script>>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let id = headers.get("webhook-id").cloned();
    let (reply, came_before) = {
        let mut script = script.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = script.requests.iter();
        let came_before = before.any(|request| request.headers.get("webhook-id") == id.as_ref());
        script.requests.push(Request {
            path: uri.path().to_owned(),
            headers,
            body: String::from_utf8(body.to_vec()).expect("text"),
        });
        let next = script.next.pop_front();
        let reply = next.or_else(|| script.otherwise.clone());
        (reply, came_before)
    };
    let status = |code| StatusCode::from_u16(code).expect("a status");
    match reply.unwrap_or(Reply::Status(204)) {
        Reply::Status(code) => (status(code), "as the test says").into_response(),
        Reply::With(code, name, value) => (status(code), [(name, value)]).into_response(),
        Reply::Silence => std::future::pending().await,
        Reply::After(ms) => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            StatusCode::NO_CONTENT.into_response()
        }
        Reply::Once(code) if !came_before => status(code).into_response(),
        Reply::Once(_) => StatusCode::NO_CONTENT.into_response(),
        Reply::Flood => {
            let chunk = || Ok::<_, Infallible>(Bytes::from(vec![b'x'; 8192]));
            Body::from_stream(stream::repeat_with(chunk)).into_response()
        }
        Reply::Stall => {
            let begun = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"begun"))]);
            Body::from_stream(begun.chain(stream::pending())).into_response()
        }
    }
}

/// Waits for something that happens in other tasks.
pub(crate) async fn until(what: &str, happened: impl AsyncFn() -> bool) {
    let started = Instant::now();
    while !happened().await {
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "{what} did not come"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
