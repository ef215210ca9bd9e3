-- Slice and row of the first and the last batch with events: in which order the segments of many agents have to be opened. They
-- are not known of segments that were written before.
alter table segment
    add column first_event_slice bigint,
    add column first_event_batch bigint,
    add column last_event_slice bigint,
    add column last_event_batch bigint;
