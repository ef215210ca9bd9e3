-- A slice holds what was received in one stretch of time. It is dropped whole.
create table slice_state (
    id integer primary key check (id = 1),
    -- Written to find out whether the slice can be written.
    probed_ms integer not null
);
insert into slice_state (id, probed_ms) values (1, 0);

-- What was ingested and acknowledged, in order of arrival. `body` is in the storage format and stays last: the columns
-- before it are read without it.
create table batch (
    id integer primary key,
    tenant_id integer not null,
    agent_id text not null,
    epoch integer not null,
    seq integer not null,
    received_ms integer not null,
    -- bit 0: begins a span of handles, bit 1: the span goes on
    span integer not null,
    event_count integer not null,
    -- One bit per kind of event in the batch
    event_kinds integer not null,
    -- Host time
    first_event_ms integer,
    last_event_ms integer,
    body blob not null,
    unique (tenant_id, agent_id, epoch, seq)
);

-- Batches with events, in order of arrival.
create index batch_event on batch (tenant_id) where event_count > 0;
