//! Where events come from at each level of the probe ladder, behind one way to wait for them, to apply them to the table
//! and to count what was lost.

mod statuses;

use std::time::Duration;

use anyhow::Result;

use crate::decode::{DecodeError, decode};
use crate::enrich::clock::{boot_ns, suspended_ns};
use crate::kernel::{Capture, Classic, Connector, KernelCounters, wait_readable};
use crate::notice::{decode_classic, of_connector};
use crate::table::{Life, Table};
pub use statuses::Statuses;

/// Applied in one go at most, so that a storm that never ends does not keep the caller from everything else.
const MAX_AT_ONCE: usize = 16_384;
/// The same of records of a ring: more than the largest one holds, because a sample is compared with all that came before
/// it, and quickly applied, because they need nothing from /proc.
const MAX_RECORDS_AT_ONCE: usize = 65_536;

/// See the module.
pub enum Source {
    Ebpf(Capture),
    /// How processes ended is known where the proc connector can be had, too.
    Tracepoint {
        classic: Classic,
        statuses: Option<Statuses>,
    },
    Procnet(Connector),
    /// Nothing tells: samples are compared.
    Sample,
}

impl Source {
    /// Whether starts and ends are told as they happen.
    pub fn has_events(&self) -> bool {
        !matches!(self, Self::Sample)
    }

    /// Whether exits are told with what the process used up.
    pub fn knows_totals(&self) -> bool {
        matches!(self, Self::Ebpf(_))
    }

    /// What only the level `ebpf` has.
    pub fn ebpf(&self) -> Option<&Capture> {
        match self {
            Self::Ebpf(capture) => Some(capture),
            _ => None,
        }
    }

    /// The same.
    pub fn ebpf_mut(&mut self) -> Option<&mut Capture> {
        match self {
            Self::Ebpf(capture) => Some(capture),
            _ => None,
        }
    }

    /// Returns when there is something to drain, or after `timeout`.
    pub fn wait(&self, timeout: Duration) {
        match self {
            Self::Ebpf(capture)
            | Self::Tracepoint {
                classic: Classic { capture, .. },
                statuses: None,
            } => capture.wait(timeout),
            Self::Tracepoint {
                classic,
                statuses: Some(statuses),
            } => {
                wait_readable([classic.capture.ring(), statuses.socket()], timeout);
            }
            Self::Procnet(connector) => {
                wait_readable([connector.socket()], timeout);
            }
            Self::Sample => std::thread::sleep(timeout),
        }
    }

    /// Applies what is pending, then sends on what waited long enough for the rest of it; or stops when `is_full`. Whether
    /// it is.
    pub fn catch_up(
        &mut self,
        table: &mut Table,
        is_full: impl Fn(&Table) -> bool,
        mut undecodable: impl FnMut(DecodeError),
    ) -> Result<bool> {
        if self.drain(table, &is_full, &mut undecodable)? {
            return Ok(true);
        }
        let now_boot_ns = boot_ns();
        // On a busy host this thread may have lost its processor since it looked: what the kernel has said by now is not
        // missing.
        if table.awaits_totals() && self.drain(table, &is_full, &mut undecodable)? {
            return Ok(true);
        }
        self.expire(table, now_boot_ns);
        Ok(false)
    }

    /// At the end nothing waits any longer.
    pub fn stop_waiting(&mut self, table: &mut Table) {
        self.expire(table, u64::MAX);
    }

    /// Applies what is pending, until there is no more or `is_full`; whether it is. What waits goes on waiting.
    pub fn drain(
        &mut self,
        table: &mut Table,
        is_full: impl Fn(&Table) -> bool,
        mut undecodable: impl FnMut(DecodeError),
    ) -> Result<bool> {
        let mut left = match self {
            Self::Ebpf(_) => MAX_RECORDS_AT_ONCE,
            _ => MAX_AT_ONCE,
        };
        let mut goes_on = |table: &Table| {
            left -= 1;
            left > 0 && !is_full(table)
        };
        match self {
            Self::Ebpf(capture) => {
                capture.drain_placed(|record| {
                    match decode(record.bytes) {
                        Ok(decoded) => table.apply_placed(&decoded, record.place, record.again),
                        Err(error) => undecodable(error),
                    }
                    goes_on(table)
                });
            }
            Self::Tracepoint { classic, statuses } => {
                drain_classic(classic, statuses, table, goes_on, undecodable)?;
            }
            Self::Procnet(connector) => drain_connector(connector, table, goes_on)?,
            Self::Sample => {}
        }
        Ok(is_full(table))
    }

    fn expire(&mut self, table: &mut Table, now_boot_ns: u64) {
        if let Self::Tracepoint {
            statuses: Some(statuses),
            ..
        } = self
        {
            for notice in statuses.take_due(now_boot_ns) {
                table.notice(&notice);
            }
        }
        table.expire(now_boot_ns, Life::exists);
    }

    /// What was heard and lost since the start.
    pub fn counters(&self) -> Result<KernelCounters> {
        match self {
            Self::Ebpf(capture) => capture.counters(),
            Self::Tracepoint { classic, statuses } => Ok(KernelCounters {
                statuses_undelivered: statuses.as_ref().map_or(0, Statuses::lost),
                ..classic.capture.counters()?
            }),
            Self::Procnet(connector) => Ok(KernelCounters {
                undelivered: connector.lost(),
                ..KernelCounters::default()
            }),
            Self::Sample => Ok(KernelCounters::default()),
        }
    }
}

fn drain_classic(
    classic: &mut Classic,
    statuses: &mut Option<Statuses>,
    table: &mut Table,
    mut goes_on: impl FnMut(&Table) -> bool,
    mut undecodable: impl FnMut(DecodeError),
) -> Result<()> {
    if let Some(statuses) = statuses {
        statuses.listen()?;
    }
    classic.capture.drain(|bytes| {
        match decode_classic(bytes) {
            Ok(notice) => {
                let complete = match statuses {
                    Some(statuses) => statuses.complete(notice),
                    None => Some(notice),
                };
                if let Some(notice) = complete {
                    table.notice(&notice);
                }
            }
            Err(error) => undecodable(error),
        }
        goes_on(table)
    });
    Ok(())
}

fn drain_connector(
    connector: &mut Connector,
    table: &mut Table,
    mut goes_on: impl FnMut(&Table) -> bool,
) -> Result<()> {
    let suspended_ns = suspended_ns();
    while let Some(event) = connector.next_event()? {
        if let Some(notice) = of_connector(&event, event.ts_monotonic_ns + suspended_ns) {
            table.notice(&notice);
        }
        if !goes_on(table) {
            break;
        }
    }
    Ok(())
}
