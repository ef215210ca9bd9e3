-- Version 3 of a file of segments; those of versions 1 and 2 stay as they are, and are read without what they lack.
-- A file of segments: what was compacted out of a stretch of the log, a row per agent. It is written once, and dropped whole.
create table segment (
    tenant_id integer not null,
    agent_id text not null,
    -- Host time of the samples and events inside
    first_ms integer not null,
    last_ms integer not null,
    received_first_ms integer not null,
    received_last_ms integer not null,
    -- Pairs of epoch and highest number, eight bytes each
    epochs blob not null,
    event_count integer not null,
    event_kinds integer not null,
    first_event_ms integer,
    last_event_ms integer,
    -- Length of `samples` of the same agent in the file beside this one
    samples_bytes integer not null,
    events_bytes integer not null,
    -- Slice and row of the first and the last batch with events
    first_event_slice integer,
    first_event_batch integer,
    last_event_slice integer,
    last_event_batch integer,
    -- Which exit codes, signals and names the events have
    event_digest blob,
    -- Stays last: the columns before it are read without it.
    events blob not null,
    primary key (tenant_id, agent_id)
);

-- The slices of the log that are in here, and the last batch that each had.
create table segment_slice (
    slice integer primary key,
    last_batch integer not null,
    received_last_ms integer not null
);
