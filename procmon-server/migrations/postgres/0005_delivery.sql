-- Who is told of alerts and events.
create table channel (
    tenant_id bigint not null references tenant (id),
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
    sealed bytea not null,
    -- The last event that a subscription was told of
    event_cursor text,
    created_ms bigint not null,
    updated_ms bigint not null,
    primary key (tenant_id, channel_id),
    unique (tenant_id, name)
);

-- What channels are to be told, and were.
create table outbox (
    -- The order in which things were decided
    number bigint generated always as identity primary key,
    tenant_id bigint not null references tenant (id),
    message_id text not null,
    channel_id text not null,
    kind text not null,
    -- Messages of one channel with the same key leave one after the other
    order_key text not null,
    body text not null,
    created_ms bigint not null,
    -- `grouping` until it leaves together with others of its key, then `pending`, `delivered` or `dead`
    state text not null check (state in ('grouping', 'pending', 'delivered', 'dead')),
    next_attempt_ms bigint not null,
    -- When it was last tried; 0 when it was not
    attempted_ms bigint not null,
    attempts bigint not null,
    -- How far along the schedule of retries it is
    step bigint not null,
    -- Of the last attempt; null when there was none, or no answer
    status bigint,
    latency_ms bigint,
    error text not null,
    response text not null,
    finished_ms bigint,
    unique (tenant_id, message_id)
);
create index outbox_due on outbox (tenant_id, channel_id, state, next_attempt_ms);
create index outbox_order on outbox (tenant_id, channel_id, order_key, number) where state = 'pending';
create index outbox_channel on outbox (tenant_id, channel_id, number);

create table delivery_attempt (
    tenant_id bigint not null references tenant (id),
    message_id text not null,
    attempt bigint not null,
    at_ms bigint not null,
    status bigint,
    latency_ms bigint not null,
    error text not null,
    response text not null,
    primary key (tenant_id, message_id, attempt)
);

-- What a channel was last told of an alert that fires.
create table told (
    tenant_id bigint not null references tenant (id),
    channel_id text not null,
    fingerprint text not null,
    fired_ms bigint not null,
    told_ms bigint not null,
    times bigint not null,
    primary key (tenant_id, channel_id, fingerprint)
);
