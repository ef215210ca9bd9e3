//! What the run before spooled last, to go on from there.

use std::fs::File;
use std::io::BufReader;

use super::record::{self, Found};
use super::{SpoolWriter, SpooledBatch};

/// The newest segment begins with all that was known then. Where it breaks off in that, the one before has it.
const SEGMENTS: usize = 2;

impl SpoolWriter {
    /// The last batches of the run before, from a key batch on; to be asked before anything is appended.
    pub fn tail(&self) -> std::io::Result<Vec<SpooledBatch>> {
        let mut newest: Vec<(u64, u64)> = {
            let state = self.shared.state();
            let segments = state.segments.iter().rev().take(SEGMENTS);
            segments
                .map(|segment| (segment.index, segment.len))
                .collect()
        };
        newest.reverse();
        let mut batches = Vec::new();
        for (index, length) in newest {
            let mut source = BufReader::new(File::open(self.shared.segment_path(index))?);
            let mut read = 0;
            while let Found::Record(batch) = record::read(&mut source, length - read)? {
                read += record::length(&batch);
                batches.push(batch);
            }
        }
        Ok(batches)
    }
}
