//! What is written is what is read, by whatever part of it is asked for.

use std::sync::Arc;

use proptest::prelude::*;

use super::{BatchEvents, EventSegment, EventWriter, Wanted, decode_events};
use crate::batch::{Batch, Event};
use crate::store::EventQuery;
use crate::store::format::tests::batch;

/// Batches as the log has them: slices and rows ascend.
fn stored(batches: &[Batch]) -> Vec<BatchEvents> {
    let numbered = batches.iter().enumerate();
    let with_events = numbered.filter(|(_, batch)| !batch.events.is_empty());
    with_events
        .map(|(index, batch)| BatchEvents {
            slice: 7 + index as u32 / 5,
            batch: index as i64 % 5 * 3 + 1,
            received_ms: index as i64 * 200 - 300,
            events: batch.events.clone(),
        })
        .collect()
}

fn write(batches: &[BatchEvents]) -> Vec<u8> {
    let mut writer = EventWriter::default();
    for batch in batches {
        writer.push(batch.slice, batch.batch, batch.received_ms, &batch.events);
    }
    let (bytes, summary) = writer.finish();
    let count: usize = batches.iter().map(|batch| batch.events.len()).sum();
    assert_eq!(summary.count as usize, count);
    bytes
}

fn read(bytes: &[u8]) -> Vec<BatchEvents> {
    let segment = EventSegment::open(bytes).expect("just written");
    let blocks: Result<Vec<_>, _> = segment.batches().collect();
    blocks.expect("just written").concat()
}

/// Each life a thousand times, so that there is more than one block.
fn many(batches: &[Batch]) -> Vec<BatchEvents> {
    let all = stored(batches);
    let mut many = Vec::new();
    for (round, batch) in all.iter().cycle().take(all.len() * 400).enumerate() {
        let mut batch = batch.clone();
        (batch.slice, batch.batch) = (1 + round as u32 / 1000, round as i64 % 1000);
        many.push(batch);
    }
    many
}

/// Keeps the beginning of its life's argv, and says so.
fn cut(event: &mut Event, most_bytes: usize) {
    let Some(life) = &mut event.life else { return };
    let Some(image) = &mut Arc::make_mut(life).image else {
        return;
    };
    let image = Arc::make_mut(image);
    if image.args.len() > most_bytes {
        image.args = image.args[..most_bytes].into();
        image.args_cut = true;
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(batches in proptest::collection::vec(batch(), 0..12)) {
        let batches = stored(&batches);
        prop_assert_eq!(read(&write(&batches)), batches);
    }

    #[test]
    fn a_query_finds_what_the_log_would_find(
        batches in proptest::collection::vec(batch(), 1..12),
        kinds in 0..64_u32, from in 0..12_u32, to in 0..12_u32, newest_first: bool, limit in 1..6_usize
    ) {
        let batches = stored(&batches);
        let bytes = write(&batches);
        let query = EventQuery { kinds, ..EventQuery::default() };
        let wanted = Wanted {
            query: &query,
            range: (7 + from / 5, i64::from(from) % 5)..=(7 + to / 5, i64::from(to) % 5),
            newest_first,
            limit,
            kept_since_ms: 0,
        };
        let found = decode_events(&bytes, &"a".into(), &wanted).expect("just written");
        let mut expected: Vec<_> = batches.iter().filter(|batch| {
            let set = batch.events.iter().fold(0, |set, event| set | 1_u32 << event.kind.number());
            wanted.range.contains(&(batch.slice, batch.batch)) && batch.received_ms >= 0 && (kinds == 0 || kinds & set != 0)
        }).collect();
        if newest_first {
            expected.reverse();
        }
        expected.truncate(limit);
        let found: Vec<_> = found.batches.into_iter().map(|stored| (stored.slice, stored.batch, stored.received_ms, stored.events)).collect();
        let expected: Vec<_> = expected.into_iter().map(|batch| (batch.slice, batch.batch, batch.received_ms, batch.events.clone())).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn an_hour_keeps_the_beginning_of_argv(
        batches in proptest::collection::vec(batch(), 0..12), most in proptest::option::of(0..6_usize)
    ) {
        let (first, second) = batches.split_at(batches.len() / 2);
        let stored = [stored(first), stored(second)];
        let mut writer = EventWriter::of_an_hour(most);
        for batches in &stored {
            let lower = write(batches);
            writer.copy(&EventSegment::open(&lower).expect("just written")).expect("just written");
        }
        let mut expected = stored.concat();
        for batch in &mut expected {
            for event in &mut batch.events {
                cut(event, most.unwrap_or(usize::MAX));
            }
        }
        let (bytes, summary) = writer.finish();
        prop_assert_eq!(summary.count as usize, expected.iter().map(|batch| batch.events.len()).sum::<usize>());
        prop_assert_eq!(read(&bytes), expected);
    }

    #[test]
    fn any_bytes_are_read_or_refused(batches in proptest::collection::vec(batch(), 1..6), at in any::<prop::sample::Index>(), with in any::<u8>()) {
        let mut bytes = write(&stored(&batches));
        if bytes.is_empty() {
            return Ok(());
        }
        let index = at.index(bytes.len());
        let try_to_read = |bytes: &[u8]| {
            if let Ok(segment) = EventSegment::open(bytes) {
                let _ = segment.names().count();
                for block in segment.batches() {
                    let _ = block;
                }
            }
        };
        try_to_read(&bytes[..index]);
        bytes[index] ^= with;
        try_to_read(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]
    #[test]
    fn blocks_stand_on_their_own(batches in proptest::collection::vec(batch(), 8..12)) {
        let batches = many(&batches);
        let bytes = write(&batches);
        let segment = EventSegment::open(&bytes).expect("just written");
        let wanted: usize = batches.iter().map(|batch| batch.events.len()).sum();
        if wanted > 40_000 {
            prop_assert!(segment.blocks.len() > 1);
        }
        for head in segment.blocks.iter().rev() {
            let block = segment.block(head).expect("just written");
            let first = batches.iter().position(|batch| (batch.slice, batch.batch) == head.first).expect("it begins a block");
            prop_assert_eq!(&block[..], &batches[first..first + block.len()]);
        }
    }
}
