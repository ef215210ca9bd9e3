create table tenant (
    id bigint primary key,
    name text not null unique
);
insert into tenant (id, name) values (1, 'default');

create table store_state (
    id bigint primary key check (id = 1),
    -- Grows with each server that opens the database: a server that was replaced notices it, and changes nothing any more.
    run bigint not null,
    -- Written to find out whether the database can be written.
    probed_ms bigint not null
);
insert into store_state (id, run, probed_ms) values (1, 0, 0);

-- What is remembered of an agent when it is silent. The truth about its batches is in the log.
create table agent (
    tenant_id bigint not null references tenant (id),
    agent_id text not null,
    first_seen_ms bigint not null,
    last_seen_ms bigint not null,
    -- `native` or `upload`
    door text not null,
    machine_id bytea not null,
    boot_id bytea not null,
    interval_ms bigint not null,
    clock_offset_ms bigint not null,
    -- JSON, as last reported
    health text not null,
    primary key (tenant_id, agent_id)
);

-- How far the batches of an agent's run are stored, where the log that said so is compacted: a batch that comes again is known.
create table agent_epoch (
    tenant_id bigint not null references tenant (id),
    agent_id text not null,
    epoch bigint not null,
    last_seq bigint not null,
    received_ms bigint not null,
    primary key (tenant_id, agent_id, epoch)
);

-- The partitions there are. A table that is not `kept` is dropped when no reader needs it, at the next start at the latest.
create table part (
    table_name text primary key,
    kind text not null check (kind in ('batch', 'segment', 'segment_samples')),
    level bigint not null,
    first_slice bigint not null,
    last_slice bigint not null,
    state text not null check (state in ('unfinished', 'kept', 'dropped'))
);

-- What was ingested and acknowledged, in order of arrival, a partition per slice of received time. `body` is in the storage
-- format, and compressed.
create table batch (
    slice bigint not null,
    id bigint not null,
    tenant_id bigint not null,
    agent_id text not null,
    epoch bigint not null,
    seq bigint not null,
    received_ms bigint not null,
    -- bit 0: begins a span of handles, bit 1: the span goes on
    span bigint not null,
    event_count bigint not null,
    -- One bit per kind of event in the batch
    event_kinds bigint not null,
    -- Host time
    first_event_ms bigint,
    last_event_ms bigint,
    body bytea not null
) partition by list (slice);
alter table batch alter column body set storage external;

-- What was compacted out of a stretch of the log, a row per agent, a partition per stretch.
create table segment (
    stretch text not null,
    tenant_id bigint not null,
    agent_id text not null,
    -- Host time of the samples and events inside
    first_ms bigint not null,
    last_ms bigint not null,
    received_first_ms bigint not null,
    received_last_ms bigint not null,
    -- Pairs of epoch and highest number, eight bytes each
    epochs bytea not null,
    event_count bigint not null,
    event_kinds bigint not null,
    first_event_ms bigint,
    last_event_ms bigint,
    -- Length of `samples` in the partition of the same stretch
    samples_bytes bigint not null,
    events_bytes bigint not null,
    events bytea not null
) partition by list (stretch);
alter table segment alter column events set storage external;

-- Samples are dropped before events are.
create table segment_samples (
    stretch text not null,
    tenant_id bigint not null,
    agent_id text not null,
    samples bytea not null
) partition by list (stretch);
alter table segment_samples alter column samples set storage external;

-- The slices of the log that are compacted, and the last batch that each had.
create table segment_slice (
    slice bigint primary key,
    stretch text not null,
    last_batch bigint not null,
    received_last_ms bigint not null
);
