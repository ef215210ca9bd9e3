//! `procmon-agent top`: the processes of this host on the terminal, now. No server, no spool, nothing is kept; it sees as much
//! as the daemon would, and works without root, too.

mod rows;
mod screen;
mod terminal;

use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

use anyhow::Result;
use procmon_common::wire;
use tokio_util::sync::CancellationToken;

use crate::kernel::Capture;
use crate::redact::Redactor;
use crate::sample::Sampler;
use crate::source::Source;
use crate::table::Table;
pub use rows::Sort;
use terminal::{Key, Terminal};

/// How long a process may wait for its record before a sample counts as the first to see it.
const RECORD_GRACE: Duration = Duration::from_millis(100);
/// Keys and records are looked for at least this often.
const TICK: Duration = Duration::from_millis(100);

/// What the operator asks for.
#[derive(Clone, Copy, Debug)]
pub struct TopOptions {
    /// One table after one interval, then the end.
    pub once: bool,
    pub sort: Sort,
    /// At most so many processes; as many as fit when it is `None`.
    pub rows: Option<usize>,
    pub interval: Duration,
}

/// Shows tables until `shutdown`, `q`, or after the first. A reader that has enough is no error.
pub fn run(
    source: Source,
    redactor: Redactor,
    options: TopOptions,
    shutdown: &CancellationToken,
    out: &mut impl Write,
) -> Result<()> {
    let mut top = Top::new(source, redactor)?;
    let terminal = Terminal::open(!options.once);
    match top.show(options, &terminal, shutdown, out) {
        Err(error)
            if error
                .downcast_ref::<std::io::Error>()
                .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe) =>
        {
            Ok(())
        }
        result => result,
    }
}

/// A sample that the table has taken over: what is left to show of it.
struct Taken {
    taken: Instant,
    host: wire::HostTotals,
}

struct Top {
    source: Source,
    table: Table,
    sampler: Sampler,
    last_sample: Option<Instant>,
}

impl Top {
    fn new(mut source: Source, redactor: Redactor) -> Result<Self> {
        let mut table = Table::new(false, source.knows_totals());
        table.set_redactor(redactor);
        table.set_hears_execs(source.has_events());
        table.baseline()?;
        let iterator = source.ebpf_mut().and_then(Capture::take_iterator);
        Ok(Self {
            source,
            table,
            sampler: Sampler::new(iterator)?,
            last_sample: None,
        })
    }

    fn show(
        &mut self,
        options: TopOptions,
        terminal: &Terminal,
        shutdown: &CancellationToken,
        out: &mut impl Write,
    ) -> Result<()> {
        let mut sort = options.sort;
        // The first sample is what the second one is compared with.
        let mut sample = self.sample()?;
        loop {
            if !self.wait(options.interval, terminal, shutdown, &mut sort)? {
                return Ok(());
            }
            sample = self.compare(sample)?;
            let rows = rows::sorted(&self.table, sample.host.memory_total_bytes, sort);
            let page = screen::page(&sample.host, &rows, sort, terminal.has_keys());
            if options.once {
                screen::print(out, &page, terminal::size(), options.rows)?;
                return Ok(());
            }
            screen::refresh(out, &page, terminal::size(), options.rows)?;
        }
    }

    /// Follows the records meanwhile. False when it is to end.
    fn wait(
        &mut self,
        interval: Duration,
        terminal: &Terminal,
        shutdown: &CancellationToken,
        sort: &mut Sort,
    ) -> Result<bool> {
        let due = Instant::now() + interval;
        while Instant::now() < due {
            if shutdown.is_cancelled() {
                return Ok(false);
            }
            let left = due.saturating_duration_since(Instant::now());
            match terminal.key(TICK.min(left)) {
                Some(Key::Quit) => return Ok(false),
                Some(Key::Sort(key)) => {
                    *sort = key;
                    return Ok(true);
                }
                None => {}
            }
            self.drain()?;
        }
        Ok(true)
    }

    fn drain(&mut self) -> Result<()> {
        // What cannot be read is the daemon's to report.
        while self
            .source
            .catch_up(&mut self.table, |table| table.pending_events() > 0, |_| {})?
        {
            // Nobody is told.
            drop(self.table.take_changes());
        }
        drop(self.table.take_changes());
        Ok(())
    }

    fn sample(&mut self) -> Result<Taken> {
        self.drain()?;
        let mut sample = self.sampler.take()?;
        self.drain()?;
        if !self.source.has_events() {
            self.table.drop_replaced();
        }
        let grace = if self.source.has_events() {
            RECORD_GRACE
        } else {
            Duration::ZERO
        };
        let (taken, host) = (sample.taken, std::mem::take(&mut sample.host));
        self.table.merge(sample, self.last_sample, grace);
        self.last_sample = Some(taken);
        Ok(Taken { taken, host })
    }

    /// The next sample. One that follows too soon on the last (a key was pressed) would divide by next to nothing.
    fn compare(&mut self, last: Taken) -> Result<Taken> {
        if last.taken.elapsed() < TICK {
            return Ok(last);
        }
        self.sample()
    }
}
