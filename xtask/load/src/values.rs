//! How the metrics of a made-up process move.

use procmon_common::columns::{Column, Row};

use crate::catalogue::Place;
use crate::process::Identity;
use crate::random::Random;

/// How often it does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Uses CPU in every sample.
    Busy,
    /// Wakes up in every sample, too shortly to show.
    Ticking,
    Quiet,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Values {
    pub cpu_centipercent: u32,
    pub cpu_time_ms: u32,
    pub rss_kib: u32,
    pub switches: u32,
    pub involuntary: u32,
    pub faults: u32,
    pub read_kib: u32,
    pub written_kib: u32,
}

impl Identity {
    /// 5 % are busy, 5 % tick; threads of the kernel only tick.
    pub fn pace(&self) -> Pace {
        match self.noise() >> 32 & 63 {
            0..=2 if self.program().place != Place::Kernel => Pace::Busy,
            3..=5 => Pace::Ticking,
            _ => Pace::Quiet,
        }
    }

    /// What a first sample finds.
    pub fn first_values(&self) -> Values {
        let program = self.program();
        let noise = self.noise();
        let age = if self.baseline {
            noise as u32 % 500_000
        } else {
            5
        };
        Values {
            cpu_centipercent: 0,
            cpu_time_ms: age,
            rss_kib: program.rss_mib * 1024
                + (noise >> 20) as u32 % (program.rss_mib * 128 + 1) * 4,
            switches: age * 3,
            involuntary: age / 50,
            faults: program.rss_mib * 300 + age / 10,
            read_kib: (noise >> 8) as u32 % 4096,
            written_kib: (noise >> 24) as u32 % 512,
        }
    }

    pub fn row(&self, values: &Values) -> Row {
        let program = self.program();
        let kernel = program.place == Place::Kernel;
        let mut row = Row::default();
        let busy = values.cpu_centipercent > 0;
        let status = match (busy, kernel) {
            (true, _) => b'R',
            (false, true) => b'I',
            (false, false) => b'S',
        };
        let mut set = |column, value: u64| row.set(column, Some(value));
        set(Column::Status, u64::from(status));
        set(Column::Ppid, u64::from(self.ppid()));
        set(Column::CpuCentipercent, u64::from(values.cpu_centipercent));
        set(Column::CpuTimeMs, u64::from(values.cpu_time_ms));
        set(Column::RssKib, u64::from(values.rss_kib));
        set(Column::VirtualKib, u64::from(program.rss_mib) * 8192);
        set(Column::Threads, u64::from(program.threads));
        set(Column::OpenFds, u64::from(program.open_fds));
        set(Column::NetConns, u64::from(program.open_fds / 4));
        set(Column::ReadBytes, u64::from(values.read_kib) << 10);
        set(Column::WriteBytes, u64::from(values.written_kib) << 10);
        set(Column::VoluntarySwitches, u64::from(values.switches));
        set(Column::InvoluntarySwitches, u64::from(values.involuntary));
        set(Column::MinorFaults, u64::from(values.faults));
        set(Column::MajorFaults, u64::from(values.faults / 1000));
        set(Column::RssExact, 1);
        row
    }
}

impl Values {
    /// Moves them by one interval; whether any is another now. Of all rows 14 % change their context switches, 7 % their CPU time,
    /// 4 % their faults and 2 % their memory, which is what hosts showed that were measured.
    pub fn advance(&mut self, pace: Pace, interval_ms: u32, random: &mut Random) -> bool {
        let before = *self;
        let ran = match pace {
            Pace::Busy => true,
            Pace::Ticking => false,
            Pace::Quiet => random.happens(22),
        };
        let woke = ran || pace == Pace::Ticking || random.happens(26);
        self.cpu_centipercent = 0;
        if woke {
            self.switches = self
                .switches
                .wrapping_add(1 + random.below(interval_ms / 20 + 1));
        }
        if ran {
            let used_ms = match pace {
                Pace::Busy => 1 + random.below(interval_ms),
                _ => 1 + random.below(interval_ms / 50 + 1),
            };
            self.cpu_time_ms = self.cpu_time_ms.wrapping_add(used_ms);
            self.cpu_centipercent = used_ms * 10_000 / interval_ms.max(1);
            self.involuntary += random.below(8) / 7;
            if random.happens(550) {
                self.faults = self.faults.wrapping_add(1 + random.below(200));
                if random.happens(500) {
                    self.rss_kib = (self.rss_kib + random.below(512) * 4)
                        .saturating_sub(random.below(512) * 4);
                }
            }
            if random.happens(300) {
                self.written_kib = self.written_kib.wrapping_add(4 + 4 * random.below(64));
            }
            if random.happens(100) {
                self.read_kib = self.read_kib.wrapping_add(4 + 4 * random.below(64));
            }
        }
        *self != before
    }
}
