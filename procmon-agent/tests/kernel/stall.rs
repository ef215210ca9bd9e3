//! A reader that stalls: what found the ring full is counted by command, and made good by the next sample.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use procmon_agent::kernel::pin::PinFolder;
use procmon_agent::kernel::{Capture, CaptureOptions, Continuity, KernelCounters, RingMark};
use procmon_common::kernel::Kind;

use crate::bpffs::Bpffs;
use crate::trial;
use crate::watcher::Watcher;

const PROCESSES: u64 = 600;
const LONG_LIVED: usize = 5;
/// Named as no other program is, so that nobody else's processes are counted: not those of the other test here either, which
/// runs at the same time, and whose processes every program in the kernel sees.
const STALLED: &str = "stalled-short";
const UNREAD: &str = "unread-short";
const LONG: &str = "stall-long";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "a_stalled_reader_is_made_good",
            a_stalled_reader_is_made_good,
        ),
        trial(
            "losses_while_no_agent_runs_are_told_once",
            losses_while_no_agent_runs_are_told_once,
        ),
    ]
}

fn options() -> CaptureOptions {
    CaptureOptions {
        io_slow_threshold: Duration::from_hours(1),
        ring_bytes: 16 << 10,
        ..CaptureOptions::default()
    }
}

/// Programs under names of their own.
struct Programs {
    folder: tempfile::TempDir,
    short: &'static str,
}

impl Programs {
    fn new(short: &'static str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::copy("/bin/true", folder.path().join(short)).context("no /bin/true")?;
        std::fs::copy(std::env::current_exe()?, folder.path().join(LONG))?;
        Ok(Self { folder, short })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run_short(&self, count: u64) -> Result<()> {
        for _ in 0..count {
            // Busybox goes by the name it is called by.
            Command::new(self.path(self.short))
                .arg0("true")
                .spawn()?
                .wait()?;
        }
        Ok(())
    }

    fn start_long(&self) -> Result<Child> {
        let mut command = Command::new(self.path(LONG));
        Ok(command.args(["--child", "sleep", "600000"]).spawn()?)
    }
}

fn end(mut child: Child) -> Result<()> {
    child.kill()?;
    child.wait()?;
    Ok(())
}

/// Records of this kind and command that found the ring full.
fn lost_by(counters: &KernelCounters, kind: Kind, command: &str) -> u64 {
    let lost = counters
        .lost_by
        .iter()
        .filter(|lost| lost.kind == kind && lost.command.starts_with(command.as_bytes()));
    lost.map(|lost| lost.count).sum()
}

fn lost(counters: &KernelCounters, kind: Kind) -> u64 {
    let of_kind = counters
        .lost()
        .filter(|(lost, reason, _)| (*lost, *reason) == (kind.name(), "ring_full"));
    of_kind.map(|(.., count)| count).sum()
}

fn a_stalled_reader_is_made_good() -> Result<()> {
    let programs = Programs::new(STALLED)?;
    let mut watcher = Watcher::with(options())?;
    let known = programs.start_long()?;
    let known_pid = known.id();
    watcher.until("the exec of a process before the stall", |watcher| {
        watcher
            .lives
            .get(&known_pid)
            .is_some_and(|life| !life.execs.is_empty())
    })?;

    // Nobody reads from here on.
    programs.run_short(PROCESSES)?;
    let long_lived: Vec<Child> = (0..LONG_LIVED)
        .map(|_| programs.start_long())
        .collect::<Result<_>>()?;
    // Their names are theirs only after their execs.
    for child in &long_lived {
        until_named(child.id())?;
    }
    end(known)?;
    let outcome = after_the_stall(&mut watcher, known_pid, &long_lived);
    for child in long_lived {
        end(child)?;
    }
    outcome
}

fn after_the_stall(watcher: &mut Watcher, known_pid: u32, long_lived: &[Child]) -> Result<()> {
    watcher.poll()?;
    let counters = watcher.counters()?;
    ensure!(
        lost(&counters, Kind::Exec) > PROCESSES / 2,
        "no stall: {counters:?}"
    );
    for kind in [Kind::Fork, Kind::Exec, Kind::Exit, Kind::Free] {
        let parts = counters.lost_by.iter().filter(|lost| lost.kind == kind);
        let parts: u64 = parts.map(|lost| lost.count).sum();
        ensure!(parts <= lost(&counters, kind), "{kind:?}: {counters:?}");
    }
    let seen = watcher.told.of(STALLED);
    let execs = seen.iter().filter(|life| !life.execs.is_empty()).count() as u64;
    let exits = seen.iter().filter(|life| !life.exits.is_empty()).count() as u64;
    let (lost_execs, lost_exits) = (
        lost_by(&counters, Kind::Exec, STALLED),
        lost_by(&counters, Kind::Exit, STALLED),
    );
    ensure!(
        execs + lost_execs == PROCESSES,
        "{execs} execs were seen, {lost_execs} lost, of {PROCESSES}"
    );
    ensure!(
        exits <= PROCESSES && lost_exits <= PROCESSES,
        "{exits} {lost_exits}"
    );
    ensure!(
        exits + lost_exits >= PROCESSES - 1,
        "{exits} exits were seen, {lost_exits} lost"
    );

    watcher.reconcile()?;
    for child in long_lived {
        let life = watcher
            .told
            .by_id
            .values()
            .find(|life| life.process.pid == child.id());
        let life = life.context("a process that began in the stall is not known")?;
        ensure!(
            life.execs.len() == 1 && life.execs[0].1 && life.exits.is_empty(),
            "its start is deduced: {life:?}"
        );
    }
    let known = watcher
        .told
        .by_id
        .values()
        .find(|life| life.process.pid == known_pid);
    let known = known.context("the known process")?;
    ensure!(
        known.exits.len() == 1 && known.exits[0].1,
        "its end is deduced: {known:?}"
    );
    Ok(())
}

fn until_named(pid: u32) -> Result<()> {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    let comm = Path::new("/proc").join(pid.to_string()).join("comm");
    while std::fs::read_to_string(&comm)?.trim() != LONG {
        ensure!(std::time::Instant::now() < deadline, "{pid} does not exec");
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Pinned programs go on counting, and what one agent has told the next does not tell again.
fn losses_while_no_agent_runs_are_told_once() -> Result<()> {
    let programs = Programs::new(UNREAD)?;
    let bpffs = Bpffs::mount()?;
    let spool = tempfile::tempdir()?;
    let start = || -> Result<Capture> {
        let continuity = Continuity {
            folder: PinFolder::open_in(bpffs.path(), spool.path())?,
            pin: true,
            marks: Vec::<RingMark>::new(),
        };
        Capture::start_after(options(), Some(continuity))
    };
    let capture = start()?;
    ensure!(!capture.is_continued(), "the first");
    drop(capture);
    programs.run_short(PROCESSES)?;

    let mut capture = start()?;
    ensure!(capture.is_continued(), "the second goes on");
    let mut execs = 0;
    capture.drain(|record| {
        let kind = u16::from_ne_bytes([record[2], record[3]]);
        execs += u64::from(kind == Kind::Exec as u16);
        true
    });
    let counters = capture.counters()?;
    let lost_execs = lost_by(&counters, Kind::Exec, UNREAD);
    ensure!(
        lost_execs > 0 && execs + lost(&counters, Kind::Exec) >= PROCESSES,
        "{execs} execs, {counters:?}"
    );
    // Not told: an agent that is killed now has told nothing.
    drop(capture);
    let mut capture = start()?;
    let again = capture.counters()?;
    ensure!(
        lost_by(&again, Kind::Exec, UNREAD) == lost_execs,
        "{lost_execs} before, {again:?}"
    );
    capture.drain(|_| true);
    capture.settle(None);
    capture.note_told(&again)?;
    drop(capture);
    let capture = start()?;
    let told = capture.counters()?;
    // The storms of other tests go on in the meantime.
    let others = |counters: &KernelCounters| {
        lost_by(counters, Kind::Exec, "") - lost_by(counters, Kind::Exec, UNREAD)
    };
    ensure!(
        lost_by(&told, Kind::Exec, UNREAD) == 0
            && lost(&told, Kind::Exec) - others(&told) < lost(&again, Kind::Exec) - others(&again),
        "{lost_execs} before, {told:?}"
    );
    Ok(())
}
