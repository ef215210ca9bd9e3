//! The tables of slow I/O, losses and OOM kills: rare, so plain columns.

use crate::batch::{Loss, Oom, Operation, SlowIo};
use crate::store::format::column;
use crate::store::segment::SegmentError;
use crate::store::segment::block::{Block, BlockWriter, Values};
use crate::store::segment::strings::{WordWriter, Words};

fn word(words: &mut WordWriter, text: Option<&[u8]>) -> u64 {
    text.map_or(0, |text| u64::from(words.number(text)) + 1)
}

fn text(words: &Words, stored: u64) -> Result<Option<Box<str>>, SegmentError> {
    let number = stored.checked_sub(1);
    number.map(|number| words.text(number as u32)).transpose()
}

pub(super) fn write_slow_io(block: &mut BlockWriter, words: &mut WordWriter, io: &SlowIo) {
    use column::slow_io as id;
    block.put(id::MAJOR, u64::from(io.major));
    block.put(id::MINOR, u64::from(io.minor));
    let device = words.number(io.device.as_bytes());
    block.put(id::DEVICE, u64::from(device));
    block.put(id::OPERATION, io.operation as u64);
    block.put(id::BYTES, io.bytes);
    block.put(id::LATENCY_NS, io.latency_ns);
    block.put(id::WRITEBACK, u64::from(io.writeback));
    block.rows += 1;
}

pub(super) fn write_loss(block: &mut BlockWriter, words: &mut WordWriter, loss: &Loss) {
    use column::loss as id;
    let (kind, reason) = (
        words.number(loss.kind.as_bytes()),
        words.number(loss.reason.as_bytes()),
    );
    block.put(id::KIND, u64::from(kind));
    block.put(id::REASON, u64::from(reason));
    block.put(id::COUNT, loss.count);
    block.put_signed(id::FROM_NS, loss.from_ns);
    let command = word(words, loss.command.as_deref());
    block.put(id::COMMAND, command);
    let cgroup = word(words, loss.cgroup.as_deref().map(str::as_bytes));
    block.put(id::CGROUP, cgroup);
    block.rows += 1;
}

pub(super) fn write_oom(block: &mut BlockWriter, words: &mut WordWriter, oom: &Oom) {
    use column::oom as id;
    let has_score = oom.oom_score_adj.is_some();
    let has_rss = oom.rss_bytes.is_some();
    let flags = if has_score { id::HAS_SCORE_ADJ } else { 0 };
    block.put(id::FLAGS, flags | if has_rss { HAS_RSS } else { 0 });
    let cgroup = word(words, oom.memory_cgroup.as_deref().map(str::as_bytes));
    block.put(id::MEMORY_CGROUP, cgroup);
    block.put(id::RSS_BYTES, oom.rss_bytes.unwrap_or(0));
    block.put_signed(id::SCORE_ADJ, oom.oom_score_adj.map_or(0, i64::from));
    block.rows += 1;
}

/// Besides the flag of stored batches.
const HAS_RSS: u64 = 2;

/// Reads rows of one of the tables, in order.
#[derive(Debug)]
pub(super) struct KindReader(Vec<Values>);

impl KindReader {
    pub(super) fn new(block: &Block<'_>, columns: u64) -> Result<Self, SegmentError> {
        let columns = (1..=columns).map(|id| block.column(id));
        Ok(Self(columns.collect::<Result<_, _>>()?))
    }

    fn next(&mut self, id: u64) -> Result<u64, SegmentError> {
        self.0[id as usize - 1].next()
    }

    pub(super) fn slow_io(&mut self, words: &Words) -> Result<SlowIo, SegmentError> {
        use column::slow_io as id;
        Ok(SlowIo {
            major: self.next(id::MAJOR)? as u32,
            minor: self.next(id::MINOR)? as u32,
            device: words.text(self.next(id::DEVICE)? as u32)?,
            operation: Operation::from_number(self.next(id::OPERATION)?),
            bytes: self.next(id::BYTES)?,
            latency_ns: self.next(id::LATENCY_NS)?,
            writeback: self.next(id::WRITEBACK)? != 0,
        })
    }

    pub(super) fn loss(&mut self, words: &Words) -> Result<Loss, SegmentError> {
        use column::loss as id;
        Ok(Loss {
            kind: words.text(self.next(id::KIND)? as u32)?,
            reason: words.text(self.next(id::REASON)? as u32)?,
            count: self.next(id::COUNT)?,
            from_ns: self.0[id::FROM_NS as usize - 1].signed()?,
            command: match self.next(id::COMMAND)?.checked_sub(1) {
                Some(number) => Some(words.bytes(number as u32)?.into()),
                None => None,
            },
            cgroup: text(words, self.next(id::CGROUP)?)?,
        })
    }

    pub(super) fn oom(&mut self, words: &Words) -> Result<Oom, SegmentError> {
        use column::oom as id;
        let flags = self.next(id::FLAGS)?;
        let memory_cgroup = text(words, self.next(id::MEMORY_CGROUP)?)?;
        let rss_bytes = self.next(id::RSS_BYTES)?;
        let score = self.0[id::SCORE_ADJ as usize - 1].signed()? as i32;
        Ok(Oom {
            memory_cgroup,
            rss_bytes: (flags & HAS_RSS != 0).then_some(rss_bytes),
            oom_score_adj: (flags & id::HAS_SCORE_ADJ != 0).then_some(score),
        })
    }
}
