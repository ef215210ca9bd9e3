create table tenant (
    id integer primary key,
    name text not null unique
);
insert into tenant (id, name) values (1, 'default');

-- What is remembered of an agent when it is silent. The truth about its batches is in the slices.
create table agent (
    tenant_id integer not null references tenant (id),
    agent_id text not null,
    first_seen_ms integer not null,
    last_seen_ms integer not null,
    -- `native` or `upload`
    door text not null,
    machine_id blob not null,
    boot_id blob not null,
    interval_ms integer not null,
    clock_offset_ms integer not null,
    -- JSON, as last reported
    health text not null,
    primary key (tenant_id, agent_id)
) without rowid;
