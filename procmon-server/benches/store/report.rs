//! What was measured, against the budgets.

/// What is budgeted of a mix.
struct Budgets {
    /// By interval of the agents: 1 s, 10 s.
    bytes_per_row: Option<[f64; 2]>,
    bytes_per_life: Option<f64>,
    /// CPU seconds of compaction. That of rows is for a mix where few of them change.
    cpu_s_per_million_rows: Option<f64>,
    cpu_s_per_million_lives: Option<f64>,
}

fn budgets(mix: &str) -> Budgets {
    let (bytes_per_row, bytes_per_life) = match mix {
        "quiet" => (Some([1.0, 2.0]), None),
        "busy" => (Some([2.5, 2.5]), None),
        "build" => (None, Some(60.0)),
        "cron" => (None, Some(30.0)),
        _ => (None, None),
    };
    Budgets {
        cpu_s_per_million_rows: (mix == "quiet").then_some(0.3),
        cpu_s_per_million_lives: bytes_per_life.map(|_| 4.0),
        bytes_per_row,
        bytes_per_life,
    }
}

pub(crate) struct Measured<'a> {
    pub(crate) mix: &'a str,
    pub(crate) agent_id: &'a str,
    pub(crate) batches: usize,
    pub(crate) samples: usize,
    pub(crate) rows: usize,
    pub(crate) changed_rows: usize,
    pub(crate) lives: usize,
    pub(crate) log_bytes: u64,
    pub(crate) sample_bytes: u64,
    /// With the heads of segments.
    pub(crate) event_bytes: u64,
    pub(crate) cpu_s: f64,
    /// Of the events alone.
    pub(crate) events_cpu_s: f64,
    /// Agents that the CPU time is the mean of.
    pub(crate) copies: usize,
    /// While it was compacted, and afterwards.
    pub(crate) slowest_append_ms: (f64, f64),
    pub(crate) read_one_ms: f64,
}

impl Measured<'_> {
    pub(crate) fn print(&self) {
        let budgets = budgets(self.mix);
        let (rows, lives) = (self.rows.max(1) as f64, self.lives.max(1) as f64);
        println!(
            "{} {}: {} batches, {} samples, {} process-rows ({:.1} % changed), {} lives; the log had {} bytes",
            self.mix,
            self.agent_id,
            self.batches,
            self.samples,
            self.rows,
            self.changed_rows as f64 * 100.0 / rows,
            self.lives,
            self.log_bytes,
        );
        let slow = usize::from(self.agent_id.ends_with("10s"));
        let bytes = self.sample_bytes as f64 / rows;
        let budget = budgets.bytes_per_row.map(|by_interval| by_interval[slow]);
        let total = format!(
            "samples, bytes per process-row ({} bytes)",
            self.sample_bytes
        );
        print_line(&total, bytes, budget);
        let bytes = self.event_bytes as f64 / lives;
        let total = format!(
            "events and heads, bytes per life ({} bytes)",
            self.event_bytes
        );
        print_line(&total, bytes, budgets.bytes_per_life);
        if budgets.bytes_per_row.is_some() {
            let what = self.compaction("process-rows, events included");
            let cpu_s = self.cpu_s / (rows / 1e6);
            print_line(&what, cpu_s, budgets.cpu_s_per_million_rows);
        }
        if budgets.bytes_per_life.is_some() {
            let what = self.compaction("lives, events alone");
            let cpu_s = self.events_cpu_s / (lives / 1e6);
            print_line(&what, cpu_s, budgets.cpu_s_per_million_lives);
        }
        let (during_ms, alone_ms) = self.slowest_append_ms;
        let what = format!("slowest commit beside it, ms ({alone_ms:.1} without)");
        print_line(&what, during_ms, None);
        print_line("one column of one process, CPU ms", self.read_one_ms, None);
    }

    fn compaction(&self, of: &str) -> String {
        format!(
            "compaction, CPU s per million {of} ({} agents)",
            self.copies
        )
    }
}

fn print_line(what: &str, value: f64, budget: Option<f64>) {
    let verdict = match budget {
        None => "no budget".to_owned(),
        Some(budget) if value <= budget => format!("budget {budget:>4}  ok"),
        Some(budget) => format!("budget {budget:>4}  OVER BUDGET"),
    };
    println!("  {what:<64} {value:>8.3}  {verdict}");
}

/// CPU time of this process.
pub(crate) fn process_cpu_s() -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the clock exists and the pointer is to a timespec of this frame.
    #[expect(unsafe_code, reason = "the standard library has no CPU clock")]
    unsafe {
        libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time);
    }
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
