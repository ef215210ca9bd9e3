//! What memory costs: detail is given up step by step on the way to the limit.

/// Each step includes those before it. At the last one nothing that grows with the host is added any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    #[default]
    Nothing,
    Argv,
    SampleRate,
    Processes,
}

/// Where a step begins, in percent of the limit, and what the log says of it.
const STEPS: [(Step, u64, &str); 3] = [
    (Step::Argv, 80, "256 bytes of each argv"),
    (Step::SampleRate, 88, "a sample every four intervals"),
    (
        Step::Processes,
        94,
        "new processes are counted, and not described",
    ),
];
/// A step ends this many percent of the limit below where it began.
const MARGIN: u64 = 10;
/// Measurements in a row: five seconds.
const CALM: u32 = 20;

#[derive(Debug)]
pub(super) struct MemoryBudget {
    limit_bytes: u64,
    step: Step,
    calm: u32,
}

impl MemoryBudget {
    pub(super) fn new(limit_bytes: u64) -> Self {
        Self {
            limit_bytes,
            step: Step::Nothing,
            calm: 0,
        }
    }

    pub(super) fn step(&self) -> Step {
        self.step
    }

    pub(super) fn would_rise(&self, rss_bytes: u64) -> bool {
        self.required(rss_bytes, 0) > self.step
    }

    pub(super) fn is_near(&self, rss_bytes: u64) -> bool {
        self.step > Step::Nothing || self.required(rss_bytes, 0) > Step::Nothing
    }

    /// Up at once, down one step at a time.
    pub(super) fn measured(&mut self, rss_bytes: u64) {
        let required = self.required(rss_bytes, 0);
        if required > self.step {
            self.step = required;
            self.calm = 0;
            self.log(rss_bytes, "memory is short");
        } else if self.step > self.required(rss_bytes, MARGIN) {
            self.calm += 1;
            if self.calm >= CALM {
                self.calm = 0;
                self.step = STEPS
                    .iter()
                    .map(|(step, ..)| *step)
                    .rfind(|step| *step < self.step)
                    .unwrap_or_default();
                self.log(rss_bytes, "memory is less short");
            }
        } else {
            self.calm = 0;
        }
    }

    /// The step for a measurement, with all steps beginning `margin` percent earlier.
    fn required(&self, rss_bytes: u64, margin: u64) -> Step {
        if self.limit_bytes == 0 {
            return Step::Nothing;
        }
        let percent = rss_bytes.saturating_mul(100) / self.limit_bytes;
        STEPS
            .iter()
            .rfind(|(_, begin, _)| percent >= begin - margin)
            .map_or(Step::Nothing, |(step, ..)| *step)
    }

    fn log(&self, rss_bytes: u64, what: &str) {
        let (used, limit) = (rss_bytes >> 20, self.limit_bytes >> 20);
        let given_up: Vec<&str> = STEPS
            .iter()
            .filter(|(step, ..)| *step <= self.step)
            .map(|(.., text)| *text)
            .collect();
        if given_up.is_empty() {
            tracing::info!("{what}, {used} of {limit} MiB: nothing is given up any more");
        } else {
            let given_up = given_up.join(", ");
            tracing::warn!(
                "{what}, {used} of {limit} MiB: {given_up}. Raise mem_limit if this host has the memory"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_lifted_one_by_one_and_not_at_once() {
        let mut budget = MemoryBudget::new(100);
        budget.measured(99);
        assert_eq!(budget.step(), Step::Processes);
        budget.measured(85);
        assert_eq!(budget.step(), Step::Processes, "within the margin");
        let mut seen = vec![budget.step()];
        for _ in 0..4 * CALM {
            budget.measured(10);
            if seen.last() != Some(&budget.step()) {
                seen.push(budget.step());
            }
        }
        assert_eq!(
            seen,
            [Step::Processes, Step::SampleRate, Step::Argv, Step::Nothing]
        );
        assert!(!budget.is_near(10));
    }

    #[test]
    fn one_measurement_is_not_calm() {
        let mut budget = MemoryBudget::new(100);
        budget.measured(85);
        for _ in 0..10 {
            for _ in 1..CALM {
                budget.measured(10);
            }
            budget.measured(75);
        }
        assert_eq!(budget.step(), Step::Argv);
    }
}
