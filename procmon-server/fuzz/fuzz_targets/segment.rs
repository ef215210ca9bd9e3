//! Any bytes as a segment of samples or of events: `cargo +nightly fuzz run segment` in procmon-server.
#![no_main]

use libfuzzer_sys::fuzz_target;
use procmon_common::columns::COLUMNS;
use procmon_server::store::history::{LifeFilter, SampleQuery};
use procmon_server::store::segment::sample::decode_block_latencies;
use procmon_server::store::segment::{
    EventSegment, EventWriter, carried, decode_samples, merge_samples, resume,
};

fuzz_target!(|bytes: &[u8]| {
    samples(bytes);
    events(bytes);
});

fn samples(bytes: &[u8]) {
    let query = SampleQuery {
        agent_id: "a".into(),
        from_ms: -1000,
        to_ms: i64::MAX,
        clock_offset_ms: 0,
        lives: LifeFilter::All,
        columns: COLUMNS.to_vec(),
        ports: true,
        short_lived: true,
        reaching: Vec::new(),
    };
    let decoded = decode_samples(bytes, &query);
    let _ = decode_block_latencies(bytes);
    let _ = carried(bytes, LifeFilter::Pid(1), &COLUMNS);
    if let Ok((replay, builder)) = resume(bytes) {
        let _ = builder.finish(&replay);
    }
    let merged = merge_samples(&[bytes.to_vec()]);
    if let (Ok(samples), Ok(merged)) = (decoded, merged) {
        let again = decode_samples(&merged, &query).expect("just written");
        assert_eq!(again.sample_ms, samples.sample_ms);
    }
}

fn events(bytes: &[u8]) {
    let Ok(segment) = EventSegment::open(bytes) else {
        return;
    };
    let _ = segment.names().count();
    let blocks: Result<Vec<_>, _> = segment.batches().collect();
    let Ok(blocks) = blocks else { return };
    // What was read can be written, and is the same again.
    let batches: Vec<_> = blocks.into_iter().flatten().collect();
    let mut writer = EventWriter::default();
    for batch in &batches {
        writer.push(batch.slice, batch.batch, batch.received_ms, &batch.events);
    }
    let (bytes, _) = writer.finish();
    let again = EventSegment::open(&bytes).expect("just written");
    let again: Result<Vec<_>, _> = again.batches().collect();
    let again = again.expect("just written").concat();
    let with_events = batches.into_iter().filter(|batch| !batch.events.is_empty());
    assert!(again.into_iter().eq(with_events));
}
