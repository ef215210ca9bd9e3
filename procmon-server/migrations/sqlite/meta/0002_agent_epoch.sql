-- How far the batches of an agent's run are stored, where the log that said so is compacted: a batch that comes again is known.
create table agent_epoch (
    tenant_id integer not null references tenant (id),
    agent_id text not null,
    epoch integer not null,
    last_seq integer not null,
    received_ms integer not null,
    primary key (tenant_id, agent_id, epoch)
) without rowid;
