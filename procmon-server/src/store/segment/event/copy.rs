//! Events of a segment, added to another by numbers: a text is read once, however many events are about it.

use super::read::EventSegment;
use super::write::{BatchPlace, EventWriter};
use crate::store::segment::SegmentError;
use crate::store::segment::life::LifeRow;
use crate::store::segment::strings::{ArgumentWriter, WordWriter};

impl EventWriter {
    /// Adds all events of a segment. What was added before an error stays.
    pub fn copy(&mut self, segment: &EventSegment<'_>) -> Result<(), SegmentError> {
        let mut numbers = Numbers::default();
        for head in &segment.blocks {
            let mut renumbered: Vec<Option<LifeRow>> = Vec::new();
            segment.block_rows(head, |batch, rows, lives| {
                let place = BatchPlace {
                    slice: batch.slice,
                    id: batch.batch,
                    received_ms: batch.received_ms,
                };
                renumbered.resize(lives.len(), None);
                let rows_of = rows.iter().flatten().map(|row| *row as usize);
                let newer = |row: &usize| renumbered[*row].is_none();
                let newer: Vec<_> = rows_of.filter(newer).collect();
                // What gets a number is written, or later numbers would be those of others.
                for row in &newer {
                    numbers.check(lives[*row], segment)?;
                }
                for row in newer {
                    let (words, arguments) = (&mut self.words, &mut self.arguments);
                    let same = numbers.renumber(lives[row], segment, words, arguments)?;
                    renumbered[row] = Some(same);
                }
                let rows = rows
                    .iter()
                    .map(|row| row.and_then(|row| renumbered[row as usize]));
                self.batch(place, batch.events.iter().zip(rows));
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// What the numbers of a segment are in another, as far as they were needed.
#[derive(Debug, Default)]
struct Numbers {
    words: Vec<Option<u32>>,
    /// With how much of each is not kept.
    arguments: Vec<Option<(u32, usize)>>,
}

impl Numbers {
    /// Whether the texts of a row can be read.
    fn check(&self, row: LifeRow, segment: &EventSegment<'_>) -> Result<(), SegmentError> {
        let row = row.with_words(|number| segment.words.bytes(number).map(|_| number))?;
        row.with_arguments(|number| {
            if self
                .arguments
                .get(number as usize)
                .is_none_or(Option::is_none)
            {
                segment.arguments.check(number)?;
            }
            Ok::<_, SegmentError>((number, 0))
        })?;
        Ok(())
    }

    fn renumber(
        &mut self,
        row: LifeRow,
        segment: &EventSegment<'_>,
        words: &mut WordWriter,
        arguments: &mut ArgumentWriter,
    ) -> Result<LifeRow, SegmentError> {
        let mut word = |number: u32| -> Result<u32, SegmentError> {
            let bytes = segment.words.bytes(number)?;
            // It is there, so its number is one of few.
            let known = slot(&mut self.words, number);
            Ok(*known.get_or_insert_with(|| words.number(bytes)))
        };
        let row = row.with_words(&mut word)?;
        row.with_arguments(|number| {
            if let Some(Some(known)) = self.arguments.get(number as usize) {
                return Ok(*known);
            }
            let whole = segment.arguments.get(number)?;
            let kept = arguments.kept(&whole);
            let found = (arguments.number(kept), whole.len() - kept.len());
            *slot(&mut self.arguments, number) = Some(found);
            Ok(found)
        })
    }
}

fn slot<T: Clone>(all: &mut Vec<Option<T>>, number: u32) -> &mut Option<T> {
    let index = number as usize;
    if all.len() <= index {
        all.resize(index + 1, None);
    }
    &mut all[index]
}
