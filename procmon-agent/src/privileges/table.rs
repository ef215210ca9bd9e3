//! Which feature needs which capability after the start, and why. docs/operations.md shows the same table; a test compares
//! the two.

use rustix::thread::CapabilitySet;

/// What the agent does once it has started, as far as that takes a capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// Programs in the kernel: levels `ebpf` and `tracepoint`.
    KernelPrograms,
    /// What `/proc` says of other users' processes: every level.
    OtherUsers,
    /// Ports and connections below level `ebpf`.
    OtherNetworks,
    /// A spool folder in which the agent's user may not write.
    ForeignSpool,
}

impl Feature {
    /// As the documentation calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::KernelPrograms => "levels `ebpf` and `tracepoint`",
            Self::OtherUsers => "every level",
            Self::OtherNetworks => "ports and connections below level `ebpf`",
            Self::ForeignSpool => "`spool_dir` of another user",
        }
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Grant {
    pub feature: Feature,
    pub capability: &'static str,
    pub why: &'static str,
    pub(super) bit: CapabilitySet,
}

const fn grant(
    feature: Feature,
    (capability, bit): (&'static str, CapabilitySet),
    why: &'static str,
) -> Grant {
    Grant {
        feature,
        capability,
        why,
        bit,
    }
}

const BPF: (&str, CapabilitySet) = ("CAP_BPF", CapabilitySet::BPF);
const PERFMON: (&str, CapabilitySet) = ("CAP_PERFMON", CapabilitySet::PERFMON);
const SYS_PTRACE: (&str, CapabilitySet) = ("CAP_SYS_PTRACE", CapabilitySet::SYS_PTRACE);
const READ_SEARCH: (&str, CapabilitySet) = ("CAP_DAC_READ_SEARCH", CapabilitySet::DAC_READ_SEARCH);
const SYS_ADMIN: (&str, CapabilitySet) = ("CAP_SYS_ADMIN", CapabilitySet::SYS_ADMIN);
const OVERRIDE: (&str, CapabilitySet) = ("CAP_DAC_OVERRIDE", CapabilitySet::DAC_OVERRIDE);

pub const GRANTS: &[Grant] = &[
    grant(
        Feature::KernelPrograms,
        BPF,
        "reads maps and runs iterators where `kernel.unprivileged_bpf_disabled` is set",
    ),
    grant(
        Feature::KernelPrograms,
        PERFMON,
        "attaches an iterator to one process, whose program reads kernel memory",
    ),
    grant(
        Feature::OtherUsers,
        SYS_PTRACE,
        "`/proc/PID/exe`, `fd`, `io` and `ns` of other users' processes",
    ),
    grant(
        Feature::OtherUsers,
        READ_SEARCH,
        "paths of cgroups by their number; other users' folders in `/proc`; the configuration file",
    ),
    grant(
        Feature::OtherNetworks,
        SYS_ADMIN,
        "enters the network namespaces of containers to ask for their sockets",
    ),
    grant(
        Feature::ForeignSpool,
        OVERRIDE,
        "writes batches there; give the folder to the agent's user instead",
    ),
];

/// What an agent at this level does.
pub fn features(level: &str, spool_is_own: bool) -> Vec<Feature> {
    let mut features = vec![Feature::OtherUsers];
    if matches!(level, "ebpf" | "tracepoint") {
        features.push(Feature::KernelPrograms);
    }
    if level != "ebpf" {
        features.push(Feature::OtherNetworks);
    }
    if !spool_is_own {
        features.push(Feature::ForeignSpool);
    }
    features
}

/// The capabilities of these features.
pub(super) fn needed(features: &[Feature]) -> CapabilitySet {
    GRANTS
        .iter()
        .filter(|grant| features.contains(&grant.feature))
        .map(|grant| grant.bit)
        .collect()
}

/// Names of those in a set that the table knows.
pub(super) fn names(set: CapabilitySet) -> Vec<&'static str> {
    GRANTS
        .iter()
        .filter(|grant| set.contains(grant.bit))
        .map(|grant| grant.capability)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_full_level_needs_four() {
        let needed = needed(&features("ebpf", true));
        assert_eq!(
            names(needed),
            [
                "CAP_BPF",
                "CAP_PERFMON",
                "CAP_SYS_PTRACE",
                "CAP_DAC_READ_SEARCH"
            ]
        );
    }

    #[test]
    fn each_level_needs_what_it_uses() {
        for (level, own, expected) in [
            (
                "sample",
                true,
                "CAP_SYS_PTRACE CAP_DAC_READ_SEARCH CAP_SYS_ADMIN",
            ),
            (
                "procnet",
                true,
                "CAP_SYS_PTRACE CAP_DAC_READ_SEARCH CAP_SYS_ADMIN",
            ),
            (
                "ebpf",
                false,
                "CAP_BPF CAP_PERFMON CAP_SYS_PTRACE CAP_DAC_READ_SEARCH CAP_DAC_OVERRIDE",
            ),
        ] {
            let names = names(needed(&features(level, own)));
            assert_eq!(names.join(" "), expected, "{level}");
        }
    }

    /// The table of the documentation is this one, row by row.
    #[test]
    fn the_documentation_shows_this_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md");
        let text = std::fs::read_to_string(path).expect("docs/operations.md");
        let rows: Vec<&str> = text
            .lines()
            .skip_while(|line| *line != "| feature | capability | why |")
            .skip(2)
            .take_while(|line| line.starts_with('|'))
            .collect();
        let expected: Vec<String> = GRANTS
            .iter()
            .map(|grant| {
                let (feature, capability) = (grant.feature.name(), grant.capability);
                format!("| {feature} | {capability} | {} |", grant.why)
            })
            .collect();
        assert_eq!(rows, expected);
    }
}
