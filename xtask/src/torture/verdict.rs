//! Whether every life is in the API, or told to be missing.

use anyhow::{Result, bail};

use super::lives::Life;
use super::seen::{Gap, Seen, Told};

/// Times in the API are rounded to milliseconds, and a process begins a little after the call that starts it.
const ROUNDING_NS: i64 = 2_000_000;

/// Lives missing in silence of which a line is printed.
const EXAMPLES: usize = 8;

/// What may be missing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Allowed {
    /// Nothing at all.
    Nothing,
    /// What a gap or a count of losses covers.
    WhatIsTold,
}

/// Prints what is there and what is not, and fails when something is missing in silence or there twice.
pub(super) fn judge(name: &str, lives: &[Life], seen: &Seen, allowed: Allowed) -> Result<()> {
    println!("{:<26} {}", "spawned", lives.len());
    let mut failures = Vec::new();
    for (what, kind, told) in [
        ("starts", "exec", &seen.starts),
        ("ends", "exit", &seen.exits),
    ] {
        let missing: Vec<&Life> = missing(lives, told).collect();
        let silently: Vec<&&Life> = missing
            .iter()
            .filter(|life| !covered(life, kind, &seen.gaps))
            .collect();
        let silent = silently.len();
        let lost = seen.lost(kind, name);
        println!(
            "{:<26} {} ({} by sampling), {} missing of which {silent} in no gap; records lost: {} of this command, {} of \
             commands not known",
            format!("{what} in the API"),
            told.lives,
            told.sampled,
            missing.len(),
            lost.of_command,
            lost.of_unknown
        );
        for life in silently.iter().take(EXAMPLES) {
            println!("  {}", where_it_was(life, &seen.gaps));
        }
        if told.repeated > 0 {
            failures.push(format!("{} {what} are there twice", told.repeated));
        }
        if silent > 0 {
            failures.push(format!("{silent} {what} are missing and nothing says so"));
        }
        if allowed == Allowed::Nothing && !missing.is_empty() {
            failures.push(format!("{} {what} are missing", missing.len()));
        }
    }
    gaps(&seen.gaps);
    println!("{:<26} {:?}", "the agent's drops", seen.drops);
    if failures.is_empty() {
        println!("verdict: ok");
        return Ok(());
    }
    bail!("{}", failures.join("; "))
}

/// Lives without an event. Where the start is lost, an end may come without the arguments that number it: so many of those
/// that seem to be missing are there.
fn missing<'a>(lives: &'a [Life], told: &Told) -> impl Iterator<Item = &'a Life> {
    let unnumbered = told.lives - told.numbers.len() as u64;
    lives
        .iter()
        .filter(|life| !told.numbers.contains(&life.number))
        .skip(unnumbered as usize)
}

/// Whether a gap says that records of this kind, or all, may be missing of that time.
fn covered(life: &Life, kind: &str, gaps: &[Gap]) -> bool {
    gaps.iter().any(|gap| {
        (gap.kind == kind || gap.kind == "agent" || gap.kind == "batch")
            && gap.from_ns - ROUNDING_NS <= life.until_ns
            && life.from_ns <= gap.until_ns + ROUNDING_NS
    })
}

/// How far a life is from the nearest gap: the way to whoever drew it too small.
fn where_it_was(life: &Life, gaps: &[Gap]) -> String {
    let ms = |ns: i64| ns / 1_000_000;
    let before = gaps.iter().map(|gap| gap.from_ns - life.until_ns);
    let after = gaps.iter().map(|gap| life.from_ns - gap.until_ns);
    let nearest = |distances: &mut dyn Iterator<Item = i64>| {
        distances
            .filter(|distance| *distance > 0)
            .min()
            .map_or("none".to_owned(), |distance| format!("{} ms", ms(distance)))
    };
    format!(
        "{} of {} ms: next gap in {}, last gap {} ago",
        life.number,
        ms(life.until_ns - life.from_ns),
        nearest(&mut before.into_iter()),
        nearest(&mut after.into_iter())
    )
}

fn gaps(gaps: &[Gap]) {
    for gap in gaps {
        let ms = (gap.until_ns - gap.from_ns) / 1_000_000;
        let whose = gap
            .command
            .as_deref()
            .map_or(String::new(), |command| format!(" of {command}"));
        println!(
            "  gap of {ms} ms: {} {} ({}){whose}",
            gap.kind, gap.reason, gap.count
        );
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn life(number: u64, from_ms: i64) -> Life {
        Life {
            number,
            from_ns: from_ms * 1_000_000,
            until_ns: (from_ms + 1) * 1_000_000,
        }
    }

    fn seen(numbers: &[u64], gaps: Vec<Gap>) -> Seen {
        let told = Told {
            numbers: numbers.iter().copied().collect(),
            lives: numbers.len() as u64,
            ..Told::default()
        };
        Seen {
            starts: told.clone(),
            exits: told,
            gaps,
            drops: BTreeMap::new(),
        }
    }

    fn down(from_ms: i64, until_ms: i64) -> Gap {
        Gap {
            from_ns: from_ms * 1_000_000,
            until_ns: until_ms * 1_000_000,
            kind: "agent".to_owned(),
            reason: "agent_down".to_owned(),
            count: 1,
            command: None,
        }
    }

    #[test]
    fn what_is_missing_must_lie_in_a_gap() {
        let lives = [life(1, 100), life(2, 200), life(3, 300)];
        let all = seen(&[1, 2, 3], Vec::new());
        judge("x", &lives, &all, Allowed::Nothing).unwrap();
        let told = seen(&[1, 3], vec![down(190, 210)]);
        judge("x", &lives, &told, Allowed::WhatIsTold).unwrap();
        assert!(judge("x", &lives, &told, Allowed::Nothing).is_err());
        let silent = seen(&[1, 3], vec![down(250, 260)]);
        assert!(judge("x", &lives, &silent, Allowed::WhatIsTold).is_err());
    }

    #[test]
    fn an_event_twice_fails() {
        let mut twice = seen(&[1], Vec::new());
        twice.starts.repeated = 1;
        assert!(judge("x", &[life(1, 1)], &twice, Allowed::WhatIsTold).is_err());
    }
}
