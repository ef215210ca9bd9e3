create table alert_rule (
    tenant_id integer not null references tenant (id),
    rule_id text not null,
    -- JSON, as it was written
    body text not null,
    created_ms integer not null,
    updated_ms integer not null,
    primary key (tenant_id, rule_id)
) without rowid;

-- Alerts that are pending, that fire, or that were resolved a moment ago.
create table alert (
    tenant_id integer not null references tenant (id),
    fingerprint text not null,
    rule_id text not null,
    -- JSON
    body text not null,
    primary key (tenant_id, fingerprint)
) without rowid;

-- What became of alerts, in the order in which it was decided.
create table alert_transition (
    id integer primary key autoincrement,
    tenant_id integer not null references tenant (id),
    -- Made of what was decided: the same decision again is the same transition.
    transition_id text not null,
    fingerprint text not null,
    rule_id text not null,
    -- Of alerts about one host
    agent_id text,
    -- Of alerts about one process
    process_id text,
    to_state text not null,
    at_ms integer not null,
    -- JSON
    body text not null,
    unique (tenant_id, transition_id)
);
create index alert_transition_fingerprint on alert_transition (tenant_id, fingerprint, id);
create index alert_transition_process on alert_transition (tenant_id, process_id, id) where process_id is not null;
create index alert_transition_at on alert_transition (tenant_id, at_ms);

-- The last evaluation, and how far it had read the log of events.
create table alert_evaluation (
    tenant_id integer primary key references tenant (id),
    evaluated_ms integer not null,
    event_cursor text not null
);

create table silence (
    tenant_id integer not null references tenant (id),
    silence_id text not null,
    ends_ms integer not null,
    -- JSON
    body text not null,
    primary key (tenant_id, silence_id)
) without rowid;
