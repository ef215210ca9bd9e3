//! User and system time by ticks: the kernel counts those, and divides the CPU time, which it knows exactly, in that proportion. Two
//! small numbers then tell the user time to the nanosecond.

/// More ticks are not looked for, nor shorter ones: the kernel has a thousand a second at most.
const MOST_TICKS: u64 = 4_096;
const SHORTEST_TICK_NS: u64 = 1_000_000;
/// CPU times that can be multiplied by so many ticks.
const MOST_CPU_NS: u64 = 1 << 51;

/// The kernel knows user and system time by ticks, and divides the CPU time, which it knows exactly, in that proportion: the
/// smallest numbers of ticks, all and the system's, that make a user time.
pub(super) fn ticks(cpu_ns: u64, user_ns: u64) -> Option<(u64, u64)> {
    if user_ns == 0 || user_ns >= cpu_ns || cpu_ns >= MOST_CPU_NS {
        return None;
    }
    let most = (cpu_ns / SHORTEST_TICK_NS + 1).min(MOST_TICKS);
    let system_ns = cpu_ns - user_ns;
    // What rounds down to the system's nanoseconds is between them and one more.
    let (system, all) = simplest_fraction((system_ns, cpu_ns), (system_ns + 1, cpu_ns), most)?;
    Some((all, system))
}

/// Numerator and denominator, the lowest that there are, from the one fraction to below the other, both of them above 0; none when
/// the denominator is above `most`. Found by the continued fraction that the two begin with.
fn simplest_fraction(mut from: (u64, u64), mut below: (u64, u64), most: u64) -> Option<(u64, u64)> {
    let (mut before, mut last) = ((0_u64, 1_u64), (1_u64, 0_u64));
    let mut next = |whole: u64| {
        let term = |last: u64, before: u64| whole.checked_mul(last)?.checked_add(before);
        let found = (term(last.0, before.0)?, term(last.1, before.1)?);
        (before, last) = (last, found);
        (found.1 <= most).then_some(found)
    };
    // Every other step the two are turned over: then the lower one is left out, and the upper one is not.
    let mut is_turned = false;
    loop {
        let whole = from.0 / from.1;
        let rest = from.0 % from.1;
        let fits = |number: u64| {
            let (number, limit) = (number.checked_mul(below.1), below.0);
            number.is_some_and(|number| number < limit || is_turned && number == limit)
        };
        if rest == 0 && !is_turned {
            return next(whole);
        }
        if fits(whole + 1) {
            return next(whole + 1);
        }
        next(whole)?;
        let above = (below.0 - whole * below.1, below.1);
        (from, below) = ((above.1, above.0), (from.1, rest));
        is_turned = !is_turned;
    }
}

pub(super) fn user_of_ticks(cpu_ns: u64, all: u64, system: u64) -> u64 {
    cpu_ns.wrapping_sub(cpu_ns.wrapping_mul(system) / all.max(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ticks_tell_user_time() {
        // Five of nine ticks were the user's.
        assert_eq!(ticks(36_548_083, 20_304_491), Some((9, 4)));
        assert_eq!(user_of_ticks(36_548_083, 9, 4), 20_304_491);
        assert_eq!(ticks(36_548_083, 20_304_000), None);
        for (cpu_ns, user_ns) in [(0, 0), (5, 0), (5, 5), (5, 9), (u64::MAX, 7)] {
            assert_eq!(ticks(cpu_ns, user_ns), None);
        }
    }

    /// As a search for it is.
    fn fewest_ticks(cpu_ns: u64, user_ns: u64) -> Option<(u64, u64)> {
        let system_ns = cpu_ns.checked_sub(user_ns)?;
        let most = (cpu_ns / SHORTEST_TICK_NS + 1).min(MOST_TICKS);
        (2..=most)
            .map(|all| (all, (system_ns * all).div_ceil(cpu_ns)))
            .find(|(all, system)| user_of_ticks(cpu_ns, *all, *system) == user_ns)
    }

    proptest! {
        #[test]
        fn ticks_are_the_fewest(cpu_ns in 1..20_000_000_000_u64, part in 0..=1000_u64, all in 1..5000_u64, near in 0..3_u64) {
            let of_ticks = user_of_ticks(cpu_ns, all, all * part / 1000);
            for user_ns in [of_ticks, of_ticks.saturating_add(near), cpu_ns * part / 1000] {
                if (1..cpu_ns).contains(&user_ns) {
                    prop_assert_eq!(ticks(cpu_ns, user_ns), fewest_ticks(cpu_ns, user_ns));
                }
            }
        }
    }
}
