-- Which exit codes, signals and names the events of a segment have, so that a question for what few agents have reads few bodies. Not
-- known of segments that were written before.
alter table segment add column event_digest bytea;
