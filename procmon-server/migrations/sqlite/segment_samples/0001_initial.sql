-- The samples of the file of segments of the same name, in a file of their own: they are dropped before the events are.
create table segment_samples (
    tenant_id integer not null,
    agent_id text not null,
    samples blob not null,
    primary key (tenant_id, agent_id)
);
