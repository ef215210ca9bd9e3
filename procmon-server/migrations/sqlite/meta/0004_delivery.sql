-- Who is told of alerts and events.
create table channel (
    tenant_id integer not null references tenant (id),
    channel_id text not null,
    name text not null,
    -- `webhook`, `slack` or `alertmanager`
    kind text not null,
    enabled boolean not null,
    -- Why the server disabled it; empty when it did not
    disabled_reason text not null,
    -- JSON: what it is told of, and how
    settings text not null,
    -- Its address and its secrets, encrypted
    sealed blob not null,
    -- The last event that a subscription was told of
    event_cursor text,
    created_ms integer not null,
    updated_ms integer not null,
    primary key (tenant_id, channel_id),
    unique (tenant_id, name)
) without rowid;

-- What channels are to be told, and were.
create table outbox (
    -- The order in which things were decided
    number integer primary key autoincrement,
    tenant_id integer not null references tenant (id),
    message_id text not null,
    channel_id text not null,
    kind text not null,
    -- Messages of one channel with the same key leave one after the other
    order_key text not null,
    body text not null,
    created_ms integer not null,
    -- `grouping` until it leaves together with others of its key, then `pending`, `delivered` or `dead`
    state text not null check (state in ('grouping', 'pending', 'delivered', 'dead')),
    next_attempt_ms integer not null,
    -- When it was last tried; 0 when it was not
    attempted_ms integer not null,
    attempts integer not null,
    -- How far along the schedule of retries it is
    step integer not null,
    -- Of the last attempt; null when there was none, or no answer
    status integer,
    latency_ms integer,
    error text not null,
    response text not null,
    finished_ms integer,
    unique (tenant_id, message_id)
);
create index outbox_due on outbox (tenant_id, channel_id, state, next_attempt_ms);
create index outbox_order on outbox (tenant_id, channel_id, order_key, number) where state = 'pending';
create index outbox_channel on outbox (tenant_id, channel_id, number);

create table delivery_attempt (
    tenant_id integer not null references tenant (id),
    message_id text not null,
    attempt integer not null,
    at_ms integer not null,
    status integer,
    latency_ms integer not null,
    error text not null,
    response text not null,
    primary key (tenant_id, message_id, attempt)
) without rowid;

-- What a channel was last told of an alert that fires.
create table told (
    tenant_id integer not null references tenant (id),
    channel_id text not null,
    fingerprint text not null,
    fired_ms integer not null,
    told_ms integer not null,
    times integer not null,
    primary key (tenant_id, channel_id, fingerprint)
) without rowid;
