//! What was acknowledged, life by life, held against what the API shows.

const EXEC: u8 = 1;
const EXIT: u8 = 2;
const EXEC_FOUND: u8 = 4;
const EXIT_FOUND: u8 = 8;

/// Of one host. A byte for each life, so that hours of thousands of hosts fit into memory.
#[derive(Debug, Default)]
pub struct Ledger {
    first_pid: u32,
    lives: Vec<u8>,
    /// Batches with a sample that were acknowledged.
    pub samples: u64,
    /// Batches with all values that were not of a new sample: the server asked for them in between.
    pub keys_between: u64,
}

/// One of the two events of a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Exec,
    Exit,
}

/// What became of all events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub execs: u64,
    pub exits: u64,
    pub execs_missing: u64,
    pub exits_missing: u64,
    /// Found a second time.
    pub repeated: u64,
    /// Found, although no acknowledged batch has them.
    pub unexpected: u64,
}

impl Ledger {
    pub fn new(first_pid: u32) -> Self {
        Self {
            first_pid,
            ..Self::default()
        }
    }

    pub fn acknowledge(&mut self, pid: u32, told: Told) {
        let index = (pid - self.first_pid) as usize;
        if index >= self.lives.len() {
            self.lives.resize(index + 1, 0);
        }
        self.lives[index] |= match told {
            Told::Exec => EXEC,
            Told::Exit => EXIT,
        };
    }

    /// Notes an event that the API showed.
    pub fn find(&mut self, pid: u32, told: Told, count: &mut Count) {
        let (expected, found) = match told {
            Told::Exec => (EXEC, EXEC_FOUND),
            Told::Exit => (EXIT, EXIT_FOUND),
        };
        let index = pid.checked_sub(self.first_pid).map(|index| index as usize);
        let life = index.and_then(|index| self.lives.get_mut(index));
        match life {
            Some(life) if *life & found != 0 => count.repeated += 1,
            Some(life) if *life & expected != 0 => *life |= found,
            _ => count.unexpected += 1,
        }
    }

    /// What is acknowledged, and what of it was not found.
    pub fn count(&self, count: &mut Count) {
        for life in &self.lives {
            let is = |flag: u8| u64::from(life & flag != 0);
            count.execs += is(EXEC);
            count.exits += is(EXIT);
            count.execs_missing += is(EXEC) & (1 - is(EXEC_FOUND));
            count.exits_missing += is(EXIT) & (1 - is(EXIT_FOUND));
        }
    }
}

impl Count {
    pub fn is_whole(&self) -> bool {
        let wrong = self.execs_missing + self.exits_missing + self.repeated + self.unexpected;
        wrong == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_and_what_is_there_twice_is_counted() {
        let mut ledger = Ledger::new(10);
        for pid in 10..14 {
            ledger.acknowledge(pid, Told::Exec);
        }
        ledger.acknowledge(11, Told::Exit);
        let mut count = Count::default();
        for pid in [10, 11, 12, 12] {
            ledger.find(pid, Told::Exec, &mut count);
        }
        ledger.find(12, Told::Exit, &mut count);
        ledger.find(9, Told::Exit, &mut count);
        ledger.find(99, Told::Exit, &mut count);
        ledger.count(&mut count);
        let expected = Count {
            execs: 4,
            exits: 1,
            execs_missing: 1,
            exits_missing: 1,
            repeated: 1,
            unexpected: 3,
        };
        assert_eq!(count, expected);
        assert!(!count.is_whole());
    }
}
