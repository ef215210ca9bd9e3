//! What is pinned in the kernel, and whether more could be.

use super::Finding;
use crate::config::AgentConfig;
use crate::kernel::pin::{self, PinSurvey};

const WHAT: &str = "pin";

pub(super) fn findings(config: &AgentConfig) -> Vec<Finding> {
    of_survey(config.pin, &pin::survey(&config.spool_dir))
}

fn of_survey(wanted: bool, survey: &PinSurvey) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mount = survey.mount.display();
    findings.push(match (&survey.trouble, wanted) {
        (None, true) => Finding::ok(
            WHAT,
            format!("{mount} can be written: a restart loses no event"),
        ),
        (None, false) => Finding::ok(
            WHAT,
            format!("off: what happens while no agent runs is a gap; {mount} could be used"),
        ),
        (Some(trouble), true) => Finding::fail(WHAT, trouble, "as said, or set pin to false"),
        (Some(_), false) => {
            let why = if survey.is_mounted {
                format!("{mount} cannot be written by this user")
            } else {
                format!("no BPF file system is mounted at {mount}")
            };
            Finding::ok(
                WHAT,
                format!("off: what happens while no agent runs is a gap; {why}"),
            )
        }
    });
    let own = survey.pinned.iter().filter(|(_, is_own)| *is_own).count();
    if own > 0 {
        let what = if own == 1 {
            "1 version of the programs is pinned".to_owned()
        } else {
            format!("{own} versions of the programs are pinned")
        };
        findings.push(if wanted {
            Finding::ok(WHAT, format!("{what} for this spool"))
        } else {
            Finding::warn(
                WHAT,
                format!("{what} for this spool, though pin is off"),
                "nothing if an agent is about to start, which takes over from them; else `procmon-agent unpin`",
            )
        });
    }
    for (version, _) in survey.pinned.iter().filter(|(_, is_own)| !is_own) {
        findings.push(Finding::warn(
            WHAT,
            format!("{} is pinned for another spool", version.display()),
            "nothing if an agent uses that; else `procmon-agent unpin --spool-dir` with the folder of that spool",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::Grade;
    use super::*;

    fn survey(trouble: Option<&str>, pinned: &[(&str, bool)]) -> PinSurvey {
        PinSurvey {
            mount: "/sys/fs/bpf".into(),
            is_mounted: trouble.is_none(),
            trouble: trouble.map(str::to_owned),
            pinned: pinned
                .iter()
                .map(|(path, is_own)| (PathBuf::from(path), *is_own))
                .collect(),
        }
    }

    fn grades(wanted: bool, survey: &PinSurvey) -> Vec<Grade> {
        let findings = of_survey(wanted, survey);
        findings.iter().map(|finding| finding.grade).collect()
    }

    #[test]
    fn a_missing_file_system_matters_only_with_pin() {
        let missing = survey(Some("not mounted"), &[]);
        assert_eq!(grades(true, &missing), [Grade::Fail]);
        assert_eq!(grades(false, &missing), [Grade::Ok]);
        let text = |survey: &PinSurvey| of_survey(false, survey)[0].text.clone();
        assert!(text(&missing).ends_with("no BPF file system is mounted at /sys/fs/bpf"));
        let of_another_user = PinSurvey {
            is_mounted: true,
            ..missing
        };
        assert!(text(&of_another_user).ends_with("/sys/fs/bpf cannot be written by this user"));
    }

    #[test]
    fn leftovers_are_named() {
        let pinned = survey(None, &[("/a/abi1-1", true), ("/b/abi1-2", false)]);
        assert_eq!(grades(true, &pinned), [Grade::Ok, Grade::Ok, Grade::Warn]);
        assert_eq!(
            grades(false, &pinned),
            [Grade::Ok, Grade::Warn, Grade::Warn]
        );
    }
}
