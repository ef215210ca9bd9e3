//! A reader of server-sent events.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use reqwest::Response;
use serde_json::Value;

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Message {
    pub(crate) event: String,
    pub(crate) id: String,
    pub(crate) data: String,
}

impl Message {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).expect("JSON")
    }
}

pub(crate) struct Reader {
    stream: BoxStream<'static, Vec<u8>>,
    buffer: Vec<u8>,
}

impl Reader {
    pub(crate) fn new(response: Response) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let chunks = response.bytes_stream();
        let stream = chunks.filter_map(async |chunk| Some(chunk.ok()?.to_vec()));
        Self {
            stream: stream.boxed(),
            buffer: Vec::new(),
        }
    }

    /// The next message; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        let next = tokio::time::timeout(Duration::from_secs(20), self.read());
        next.await.expect("a message within 20 s")
    }

    /// The next message that has data.
    pub(crate) async fn next_data(&mut self) -> Message {
        loop {
            let message = self.next().await.expect("the stream goes on");
            if !message.data.is_empty() {
                return message;
            }
        }
    }

    async fn read(&mut self) -> Option<Message> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return Some(parse(&String::from_utf8(block).expect("UTF-8")));
            }
            self.buffer.extend(self.stream.next().await?);
        }
    }
}

fn parse(block: &str) -> Message {
    let mut message = Message::default();
    for line in block.lines() {
        let (field, value) = line.split_once(": ").unwrap_or((line, ""));
        match field {
            "event" => value.clone_into(&mut message.event),
            "id" => value.clone_into(&mut message.id),
            "data" => message.data.push_str(value),
            _ => {}
        }
    }
    message
}
