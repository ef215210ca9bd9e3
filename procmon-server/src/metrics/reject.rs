//! Why an upload was refused: a closed set, for the metrics.

use axum::http::StatusCode;

/// The reason of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reject {
    RequestRate,
    ByteRate,
    Concurrency,
    BodySize,
    ContentSize,
    Processes,
    Names,
    Text,
    Events,
    Agents,
    SlowBody,
    Memory,
    Dictionary,
    MediaType,
    Malformed,
    Invalid,
    Conflict,
    QueueFull,
    DiskFull,
    Unavailable,
    Failed,
}

impl Reject {
    pub const ALL: [Self; 21] = [
        Self::RequestRate,
        Self::ByteRate,
        Self::Concurrency,
        Self::BodySize,
        Self::ContentSize,
        Self::Processes,
        Self::Names,
        Self::Text,
        Self::Events,
        Self::Agents,
        Self::SlowBody,
        Self::Memory,
        Self::Dictionary,
        Self::MediaType,
        Self::Malformed,
        Self::Invalid,
        Self::Conflict,
        Self::QueueFull,
        Self::DiskFull,
        Self::Unavailable,
        Self::Failed,
    ];

    /// The value of the label `reason`.
    pub fn name(self) -> &'static str {
        match self {
            Self::RequestRate => "request_rate",
            Self::ByteRate => "byte_rate",
            Self::Concurrency => "concurrency",
            Self::BodySize => "body_size",
            Self::ContentSize => "content_size",
            Self::Processes => "processes",
            Self::Names => "names",
            Self::Text => "text",
            Self::Events => "events",
            Self::Agents => "agents",
            Self::SlowBody => "slow_body",
            Self::Memory => "memory",
            Self::Dictionary => "dictionary",
            Self::MediaType => "media_type",
            Self::Malformed => "malformed",
            Self::Invalid => "invalid",
            Self::Conflict => "conflict",
            Self::QueueFull => "queue_full",
            Self::DiskFull => "disk_full",
            Self::Unavailable => "unavailable",
            Self::Failed => "failed",
        }
    }

    /// The status of the answer, and what it is about.
    pub(super) fn meaning(self) -> (u16, &'static str) {
        match self {
            Self::RequestRate => (429, "more requests than `ingest_limits.requests_per_s`"),
            Self::ByteRate => (
                429,
                "more bytes, counted when decompressed, than `ingest_limits.bytes_per_s`",
            ),
            Self::Concurrency => (
                429,
                "more requests of one agent under way than `ingest_limits.concurrent_requests`",
            ),
            Self::BodySize => (413, "a body larger than `ingest_limits.body_bytes`"),
            Self::ContentSize => (
                413,
                "larger than `ingest_limits.content_bytes` when decompressed",
            ),
            Self::Processes => (413, "more processes than `ingest_limits.processes`"),
            Self::Names => (
                413,
                "more different names of processes than `ingest_limits.names`",
            ),
            Self::Text => (
                413,
                "names, paths, arguments, users and cgroups longer than `ingest_limits.text_bytes` in all",
            ),
            Self::Events => (413, "more events in one batch than `ingest_limits.events`"),
            Self::Agents => (503, "more agents than `ingest_limits.agents`"),
            Self::SlowBody => (408, "the body came too slowly"),
            Self::Memory => (
                503,
                "bodies under way hold all the memory that is set apart for them",
            ),
            Self::Dictionary => (
                415,
                "compressed with a dictionary that the server does not have",
            ),
            Self::MediaType => (415, "another `Content-Type` or `Content-Encoding`"),
            Self::Malformed => (400, "not valid zstd, protobuf or JSON, or cut short"),
            Self::Invalid => (422, "well formed, but it cannot be"),
            Self::Conflict => (
                409,
                "another machine, or another way in, uses the `agent_id`",
            ),
            Self::QueueFull => (503, "the disk does not keep up"),
            Self::DiskFull => (503, "the disk is full"),
            Self::Unavailable => (503, "the store failed, or the server is stopping"),
            Self::Failed => (500, "a fault of the server: see its log"),
        }
    }

    /// Where nothing more is known.
    pub fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::BAD_REQUEST => Self::Malformed,
            StatusCode::CONFLICT => Self::Conflict,
            StatusCode::PAYLOAD_TOO_LARGE => Self::BodySize,
            StatusCode::REQUEST_TIMEOUT => Self::SlowBody,
            StatusCode::SERVICE_UNAVAILABLE => Self::Unavailable,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::MediaType,
            status if status.is_client_error() => Self::Invalid,
            _ => Self::Failed,
        }
    }
}
