//! The list of all metrics.

use super::family::Base::{Bytes, None, Ratio, Seconds};
use super::family::Family;
use super::family::Kind::{Counter, Gauge, Histogram, Info};

const HOST: &[&str] = &["agent_id"];
const GROUP: &[&str] = &["agent_id", "name"];
const DOOR: &[&str] = &["door"];
const QUEUE: &[&str] = &["queue"];
const LEVEL: &[&str] = &["level"];
const KIND: &[&str] = &["kind"];

macro_rules! families {
    ($list:ident: $($constant:ident = $kind:ident($name:literal, $unit:ident, $labels:expr, $help:literal);)*) => {
        $(pub(super) const $constant: Family = Family::new($kind, $name, $unit, $labels, $help);)*
        pub(super) const $list: &[Family] = &[$($constant),*];
    };
}

families! { AGENTS_LIST:
    AGENTS = Gauge("procmon_agents", None, &["status"], "Agents that have reported: `live`, or `stale` after three silent intervals");
    AGENT_INFO = Info("procmon_agent", None, &["agent_id", "hostname", "version", "kernel", "probe"], "What an agent says of itself");
    AGENT_UP = Gauge("procmon_agent_up", None, HOST, "1 while it is live, 0 when it is stale");
    AGENT_LAST_SEEN = Gauge("procmon_agent_last_seen_timestamp", Seconds, HOST, "When its last batch was stored, Unix time of the server");
    AGENT_LAG = Gauge("procmon_agent_lag", Seconds, HOST, "From the making of its newest batch until that was stored, without what its clock is off");
    AGENT_CLOCK_OFFSET = Gauge("procmon_agent_clock_offset", Seconds, HOST, "How far the host's clock is ahead of the server's");
    AGENT_DROPS = Counter("procmon_agent_drops", None, &["agent_id", "kind", "reason"], "What it could not see or keep, since it started");
    AGENT_SPOOL = Gauge("procmon_agent_spool", Bytes, HOST, "Its spool on disk: what waits, and what is acknowledged in segments that are not finished");
    AGENT_MEMORY = Gauge("procmon_agent_resident_memory", Bytes, HOST, "Memory of the agent itself");
    AGENT_CPU = Counter("procmon_agent_cpu", Seconds, HOST, "CPU time of the agent itself, since it started");
    AGENT_SAMPLE = Gauge("procmon_agent_sample", Seconds, HOST, "CPU time that its newest sample took");
}

families! { HOSTS_LIST:
    PROCESSES = Gauge("procmon_processes", None, &["agent_id", "state"], "Processes by the state letter of ps; `unknown` where no sample has said it");
    STARTS = Counter("procmon_process_starts", None, HOST, "Processes that started, since this server did");
    EXITS = Counter("procmon_process_exits", None, HOST, "Processes that ended, since this server started");
    OOM_KILLS = Counter("procmon_oom_kills", None, HOST, "Processes that the kernel chose when memory ran out, since this server started");
    HOST_CPUS = Gauge("procmon_host_cpus", None, HOST, "CPUs of the host");
    HOST_CPU = Gauge("procmon_host_cpu", Ratio, HOST, "CPU in use over the last interval; 1 is one core");
    HOST_LOAD = Gauge("procmon_host_load", None, &["agent_id", "window"], "Load average over `1m`, `5m` and `15m`");
    HOST_MEMORY = Gauge("procmon_host_memory_size", Bytes, HOST, "Memory of the host");
    HOST_MEMORY_AVAILABLE = Gauge("procmon_host_memory_available", Bytes, HOST, "Memory that programs could have without swapping");
    HOST_SWAP = Gauge("procmon_host_swap_size", Bytes, HOST, "Swap space of the host");
    HOST_SWAP_USED = Gauge("procmon_host_swap_used", Bytes, HOST, "Swap space in use");
    HOST_BOOT = Gauge("procmon_host_boot_timestamp", Seconds, HOST, "When the host booted, Unix time by its clock");
    BLOCK_LATENCY = Histogram("procmon_block_latency", Seconds, &["agent_id", "device", "op"], "From the issue of a block request to its completion, since the agent or this server started");
}

families! { GROUPS_LIST:
    GROUP_PROCESSES = Gauge("procmon_group_processes", None, GROUP, "Processes of the same name");
    GROUP_CPU = Gauge("procmon_group_cpu", Ratio, GROUP, "CPU that they and their short-lived children used over the last interval; 1 is one core");
    GROUP_MEMORY = Gauge("procmon_group_resident_memory", Bytes, GROUP, "Their resident memory, shared pages counted in each");
    GROUP_THREADS = Gauge("procmon_group_threads", None, GROUP, "Their threads");
    GROUP_FDS = Gauge("procmon_group_open_fds", None, GROUP, "Their open file descriptors");
}

families! { INGEST_LIST:
    INGEST_REQUESTS = Counter("procmon_ingest_requests", None, &["door", "result"], "Uploads by way in (`native`, `upload`) and result (`accepted`, `refused`)");
    INGEST_REJECTS = Counter("procmon_ingest_rejects", None, &["door", "reason"], "Uploads that were refused, by reason");
    INGEST_RECEIVED = Counter("procmon_ingest_received", Bytes, DOOR, "Bodies of uploads as they came");
    INGEST_DURATION = Histogram("procmon_ingest_request_duration", Seconds, DOOR, "From the headers of an upload to its answer");
    BODY_MEMORY = Gauge("procmon_ingest_body_memory", Bytes, &[], "What bodies under way hold of the memory that is set apart for them");
    BODY_MEMORY_SIZE = Gauge("procmon_ingest_body_memory_size", Bytes, &[], "The memory that is set apart for bodies under way");
}

families! { STORE_LIST:
    STORE_COMMITS = Counter("procmon_store_commits", None, &[], "Transactions of the log");
    STORE_BATCHES = Counter("procmon_store_batches", None, &[], "Batches stored");
    STORE_WRITTEN = Counter("procmon_store_written", Bytes, &[], "Bytes of batches stored");
    STORE_COMMIT = Counter("procmon_store_commit", Seconds, &[], "Time spent in transactions of the log");
    STORE_FAILURES = Counter("procmon_store_failures", None, &[], "Transactions that failed");
    STORE_SLICES = Gauge("procmon_store_slices", None, &[], "Slices of the log that are not compacted");
    STORE_SLICES_WAITING = Gauge("procmon_store_slices_waiting", None, &[], "Complete slices of the log that wait to be compacted: how far compaction is behind");
    STORE_PARTS_LEAVING = Gauge("procmon_store_parts_leaving", None, &[], "Slices and segments that are no longer shown, and wait for their last reader");
    STORE_SEGMENTS = Gauge("procmon_store_segments", None, LEVEL, "Stretches of time that are compacted: level 1 is one slice, 2 an hour");
    STORE_SIZE = Gauge("procmon_store_size", Bytes, KIND, "What the store takes on the disk or in the database, measured every minute: `log`, `samples`, `events`");
    STORE_PARTS_DROPPED = Counter("procmon_store_parts_dropped", None, KIND, "Parts of the store that were dropped because they were too old or too much: `slice`, `segments`, `samples`");
    STORE_SEGMENTS_PUBLISHED = Counter("procmon_store_segments_published", None, &[], "Stretches of time that were compacted");
    STORE_SEGMENTS_PUBLISH = Counter("procmon_store_segments_publish", Seconds, &[], "Time that making segments durable and visible took");
    COMPACTION_SEGMENTS = Counter("procmon_compaction_segments", None, LEVEL, "Segments written, one per agent");
    COMPACTION_WRITTEN = Counter("procmon_compaction_written", Bytes, LEVEL, "Bytes of the segments written");
    COMPACTION = Counter("procmon_compaction", Seconds, LEVEL, "Time spent on compaction");
    COMPACTION_FAILURES = Counter("procmon_compaction_failures", None, &[], "Slices or hours that could not be compacted; they are tried again");
    COMPACTION_UNREADABLE_BATCHES = Counter("procmon_compaction_unreadable_batches", None, &[], "Stored batches that compaction could not read and left out");
    COMPACTION_UNREADABLE_SEGMENTS = Counter("procmon_compaction_unreadable_segments", None, &[], "Segments that compaction could not read and left out");
}

families! { ALERTS_LIST:
    ALERTS = Gauge("procmon_alerts", None, &["state"], "Alerts that are pending, and that fire");
    ALERTS_STALE = Gauge("procmon_stale_alerts", None, &[], "Those of them that stand still, because their host is silent");
    RULES = Gauge("procmon_rules", None, &["source"], "Rules of alerts, of the `api` and of each `file`");
    RULE_FILE_ERRORS = Gauge("procmon_rule_file_errors", None, &[], "What is wrong with files of rules");
    ALERTS_LEFT_OUT = Gauge("procmon_left_out_alerts", None, &[], "Alerts that the last evaluation left out, because a rule found too many or cost too much");
    EVALUATION = Gauge("procmon_rule_evaluation", Seconds, &[], "How long the last evaluation of all rules took");
    EVALUATION_AT = Gauge("procmon_rule_evaluation_timestamp", Seconds, &[], "When it was made, Unix time");
}

families! { DELIVERY_LIST:
    CHANNELS = Gauge("procmon_channels", None, &[], "Channels that are enabled");
    DELIVERY_ATTEMPTS = Counter("procmon_delivery_attempts", None, &["kind", "result"], "Attempts to send, by kind of channel (`webhook`, `slack`, `alertmanager`) and result (`delivered`, `failed`)");
    DELIVERY_LATENCY = Counter("procmon_delivery_latency", Seconds, KIND, "Time that attempts took, until the answer or the failure");
    DELIVERIES_WAITING = Gauge("procmon_deliveries_waiting", None, &[], "Messages that are to be sent, or sent again, counted twice a minute");
    DELIVERIES_DEAD = Counter("procmon_deliveries_dead", None, &["reason"], "Messages that were given up: `attempts` (the last one failed), `overflow` (too many waited for one channel)");
    CHANNELS_DISABLED = Counter("procmon_channels_disabled", None, &[], "Channels that the server disabled: their receiver answered 410, or their filter takes too many steps");
    SUBSCRIPTION_GAPS = Counter("procmon_subscription_gaps", None, &[], "Times that a subscription was behind for longer than events are kept, and missed some");
    DELIVERY_STORE_FAILURES = Counter("procmon_delivery_store_failures", None, &[], "Reads and writes of deliveries that failed, and are made again");
}

families! { SERVER_LIST:
    QUEUE_LENGTH = Gauge("procmon_queue_length", None, QUEUE, "What is in each bounded queue, or how many places of it are taken");
    QUEUE_CAPACITY = Gauge("procmon_queue_capacity", None, QUEUE, "How much it takes");
    QUEUE_REFUSALS = Counter("procmon_queue_refusals", None, QUEUE, "What was turned away because it was full");
    STREAMS = Gauge("procmon_open_streams", None, &[], "Clients that follow events or processes");
    STREAM_RESYNCS = Counter("procmon_stream_resyncs", None, &["stream"], "Times that a client of `events` or `live` was too far behind to go on, and began anew");
    STALLED_CONNECTIONS = Counter("procmon_stalled_connections", None, &[], "Connections that were ended because their client took nothing for a minute");
    SHARED = Gauge("procmon_shared_strings", None, &[], "Programs, users and cgroups that live processes have in common, each kept once");
    BUILD = Info("procmon_build", None, &["version"], "Version of the server");
    SERVER_CPU = Counter("procmon_server_cpu", Seconds, &[], "CPU time of the server itself, user and system");
    SERVER_MEMORY = Gauge("procmon_server_resident_memory", Bytes, &[], "Memory of the server itself");
    SERVER_FDS = Gauge("procmon_server_open_fds", None, &[], "Its open file descriptors");
    SERVER_START = Gauge("procmon_server_start_timestamp", Seconds, &[], "When it started, Unix time");
}

/// By the sections of the page that lists them.
pub(super) const SECTIONS: [(&str, &[Family]); 8] = [
    ("Agents", AGENTS_LIST),
    ("Hosts", HOSTS_LIST),
    ("Process groups", GROUPS_LIST),
    ("Ingest", INGEST_LIST),
    ("Store", STORE_LIST),
    ("Alerts", ALERTS_LIST),
    ("Deliveries", DELIVERY_LIST),
    ("The server itself", SERVER_LIST),
];
