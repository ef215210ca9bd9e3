//! Counting tests in what test runners print.

use std::ops::AddAssign;

/// How many tests did what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) ignored: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

impl Tally {
    /// Of a check that is a test by itself.
    pub(super) fn one() -> Self {
        Self {
            passed: 1,
            ..Self::default()
        }
    }

    pub(super) fn is_empty(self) -> bool {
        self.passed + self.failed == 0
    }

    /// Sums the closing lines of libtest, vitest, node's test runner, and the plain `3 passed, 0 failed`.
    pub(super) fn of_output(output: &str) -> Self {
        let mut sum = Self::default();
        for line in output.lines() {
            sum += of_line(line.trim()).unwrap_or_default();
        }
        sum
    }
}

fn of_line(line: &str) -> Option<Tally> {
    if let Some(counts) = line.strip_prefix("test result: ") {
        return Some(of_counts(counts.split_once(". ")?.1, ';'));
    }
    if let Some(counts) = line.strip_prefix("Tests ") {
        return Some(of_counts(counts.split('(').next()?, '|'));
    }
    if let Some(counts) = line.strip_prefix("# ").or_else(|| line.strip_prefix("ℹ ")) {
        let (what, count) = counts.split_once(' ')?;
        return Some(of_counts(&format!("{count} {what}"), '|'));
    }
    let plain = line.split(", ").all(|part| of_part(part).is_some());
    plain.then(|| of_counts(line, ','))
}

fn of_counts(counts: &str, separator: char) -> Tally {
    let mut sum = Tally::default();
    for part in counts.split(separator).filter_map(of_part) {
        sum += part;
    }
    sum
}

fn of_part(part: &str) -> Option<Tally> {
    let (count, what) = part.trim().split_once(' ')?;
    let count = count.parse().ok()?;
    match what {
        "passed" | "pass" => Some(Tally {
            passed: count,
            ..Tally::default()
        }),
        "failed" | "fail" => Some(Tally {
            failed: count,
            ..Tally::default()
        }),
        "ignored" | "skipped" | "todo" => Some(Tally {
            ignored: count,
            ..Tally::default()
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(passed: u64, failed: u64, ignored: u64) -> Tally {
        Tally {
            passed,
            failed,
            ignored,
        }
    }

    #[test]
    fn libtest_binaries_are_summed() {
        let output = "running 2 tests\n\
            test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.00s\n\
            test result: FAILED. 1 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s\n";
        assert_eq!(Tally::of_output(output), tally(3, 3, 1));
    }

    #[test]
    fn vitest_counts_tests_not_files() {
        let output = " Test Files  1 failed | 4 passed (5)\n      Tests  1 failed | 40 passed | 2 skipped (43)\n";
        assert_eq!(Tally::of_output(output), tally(40, 1, 2));
    }

    #[test]
    fn node_and_plain_lines_count() {
        assert_eq!(
            Tally::of_output("# tests 3\n# pass 2\n# fail 1\n"),
            tally(2, 1, 0)
        );
        assert_eq!(
            Tally::of_output("ℹ pass 2\nℹ fail 0\nℹ duration_ms 3\n"),
            tally(2, 0, 0)
        );
        assert_eq!(
            Tally::of_output("5 passed, 0 failed, 1 skipped\n"),
            tally(5, 0, 1)
        );
    }

    #[test]
    fn prose_does_not_count() {
        let output = "12 processes passed by\nthe test 3 passed, sort of\n# heading 3\n\n";
        assert_eq!(Tally::of_output(output), Tally::default());
    }
}
