//! Random sequences of what can happen to a spool, against a list of what must come out.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Append {
        length: usize,
    },
    Take,
    TakeAndAck,
    Refuse,
    Reopen,
    /// Stop, cut a segment at any byte, and start.
    Cut {
        segment: prop::sample::Index,
        at: prop::sample::Index,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (0_usize..900).prop_map(|length| Step::Append { length }),
        2 => Just(Step::Take),
        6 => Just(Step::TakeAndAck),
        1 => Just(Step::Refuse),
        1 => Just(Step::Reopen),
        1 => any::<(prop::sample::Index, prop::sample::Index)>()
            .prop_map(|(segment, at)| Step::Cut { segment, at }),
    ]
}

struct World {
    folder: tempfile::TempDir,
    options: SpoolOptions,
    spool: Option<(SpoolWriter, SpoolReader)>,
    epoch: u64,
    seq: u64,
    /// Appended and not answered for, in order.
    expected: VecDeque<(u64, u64)>,
    /// Losses that the current run has counted and the model has taken off `expected`.
    counted: u64,
    /// The reader has given out a batch that is not answered.
    is_held: bool,
}

impl World {
    fn new(max_bytes: u64, cache_bytes: u64) -> Self {
        let mut world = Self {
            folder: tempfile::tempdir().expect("folder"),
            options: SpoolOptions {
                max_bytes,
                cache_bytes,
                ..options()
            },
            spool: None,
            epoch: 0,
            seq: 0,
            expected: VecDeque::new(),
            counted: 0,
            is_held: false,
        };
        world.start();
        world
    }

    fn start(&mut self) {
        self.spool = Some(spool::open(self.folder.path(), self.options).expect("opens"));
        self.epoch += 1;
        self.seq = 0;
        // What a start finds torn was taken off when it was cut.
        self.counted = self.lost();
    }

    fn spool(&mut self) -> &mut (SpoolWriter, SpoolReader) {
        self.spool.as_mut().expect("open")
    }

    fn lost(&mut self) -> u64 {
        let losses = self.spool().0.stats().dropped();
        losses.iter().map(|(_, count)| count).sum()
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Append { length } => {
                self.seq += 1;
                let (epoch, seq) = (self.epoch, self.seq);
                append(&mut self.spool().0, epoch, seq, *length);
                self.expected.push_back((epoch, seq));
            }
            Step::Take => {
                self.take();
            }
            Step::TakeAndAck => {
                if let Some((epoch, seq)) = self.take() {
                    self.spool().1.ack(epoch, seq);
                    self.answered();
                }
            }
            Step::Refuse => {
                if self.take().is_some() {
                    self.spool().1.quarantine();
                    self.answered();
                    self.counted += 1;
                }
            }
            Step::Reopen => self.restart(|_| {}),
            Step::Cut { segment, at } => self.restart(|world| world.cut(*segment, *at)),
        }
    }

    fn answered(&mut self) {
        self.expected.pop_front();
        self.is_held = false;
    }

    /// A stop loses nothing but a batch that only the reader still had, because its segment was evicted.
    fn restart(&mut self, between: impl FnOnce(&mut Self)) {
        let uncounted = (self.lost() - self.counted) as usize;
        self.spool = None;
        let on_disk = self.on_disk();
        let before = self.expected.len();
        self.expected.retain(|id| on_disk.contains(id));
        let missing = before - self.expected.len();
        let only_held = usize::from(self.is_held);
        assert!(
            (uncounted..=uncounted + only_held).contains(&missing),
            "{missing} are gone, {uncounted} of them counted"
        );
        self.is_held = false;
        between(self);
        self.start();
    }

    /// What comes out next is the oldest expected one, after those whose loss was counted.
    fn take(&mut self) -> Option<(u64, u64)> {
        let taken = self.spool().1.try_next().map(|b| (b.epoch, b.seq));
        let Some(id) = taken else {
            let uncounted = (self.lost() - self.counted) as usize;
            self.expected.drain(..uncounted);
            self.counted += uncounted as u64;
            assert_eq!(self.expected, [], "lost without a count");
            return None;
        };
        let skipped = self.expected.iter().position(|known| *known == id);
        let skipped = skipped.expect("neither unknown nor acknowledged before");
        self.expected.drain(..skipped);
        self.counted += skipped as u64;
        assert!(self.counted <= self.lost(), "lost without a count");
        self.is_held = true;
        Some(id)
    }

    /// An oracle of its own: the ids in the files, by the documented layout.
    fn on_disk(&self) -> Vec<(u64, u64)> {
        segments(self.folder.path())
            .iter()
            .flat_map(|path| records(&fs::read(path).expect("reads")))
            .map(|(id, _)| id)
            .collect()
    }

    fn cut(&mut self, segment: prop::sample::Index, at: prop::sample::Index) {
        let paths = segments(self.folder.path());
        if paths.is_empty() {
            return;
        }
        let path = segment.get(&paths);
        let bytes = fs::read(path).expect("reads");
        let kept = at.index(bytes.len() + 1);
        for (id, end) in records(&bytes) {
            if end > kept {
                self.expected.retain(|known| *known != id);
            }
        }
        fs::write(path, &bytes[..kept]).expect("cuts");
    }
}

fn records(bytes: &[u8]) -> Vec<((u64, u64), usize)> {
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
    let mut at = 0;
    let mut records = Vec::new();
    while at + HEADER_BYTES <= bytes.len() {
        let length = u32::from_le_bytes(bytes[at + 8..at + 12].try_into().expect("4 bytes"));
        let id = (word(at + 16), word(at + 24));
        at += HEADER_BYTES + length as usize;
        records.push((id, at));
    }
    records
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_uncounted_and_nothing_comes_twice(
        steps in prop::collection::vec(step(), 1..120),
        max_bytes in prop_oneof![Just(1_u64 << 20), Just(12 << 10)],
        cache_bytes in prop_oneof![Just(0_u64), Just(2048), Just(1 << 20)],
    ) {
        let mut world = World::new(max_bytes, cache_bytes);
        for step in &steps {
            world.apply(step);
            let bytes = world.spool().0.stats().bytes();
            prop_assert!(bytes <= max_bytes);
        }
        while world.take().is_some() {
            world.apply(&Step::TakeAndAck);
        }
    }

    #[test]
    fn any_bytes_in_any_file_are_survived(
        files in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..4),
        acked in prop::collection::vec(any::<u8>(), 0..30),
        begins_well in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().expect("folder");
        for (index, bytes) in files.iter().enumerate() {
            let mut content = if begins_well { b"PSP1".to_vec() } else { Vec::new() };
            content.extend_from_slice(bytes);
            fs::write(folder.path().join(format!("{index:016x}.seg")), content).expect("writes");
        }
        fs::write(folder.path().join("acked"), acked).expect("writes");
        let (mut writer, mut reader) = open(folder.path());
        prop_assert_eq!(drain(&mut reader), []);
        append(&mut writer, 1, 1, 10);
        prop_assert_eq!(drain(&mut reader), [(1, 1)]);
    }
}
