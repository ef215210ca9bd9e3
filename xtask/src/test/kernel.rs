//! The agent's kernel tests: on the running kernel, and on Debian's in QEMU.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::count;
use super::tally::Tally;
use crate::check::{build_debug, cargo};
use crate::prerequisites::{self, require_root};
use crate::qemu::{self, GuestFile, GuestReport, GuestRun, Kernel};
use crate::{command, pair};

/// The series of Debian's kernels that the probes must work on, besides the running one.
const SERIES: &[&str] = &["6.1", "6.12"];

/// The name of the test target in procmon-agent.
pub(super) const TARGET: &str = "kernel";

/// Tells the tests to load this object instead of the embedded one.
const OBJECT_VARIABLE: &str = "PROCMON_EBPF_OBJECT";

const GUEST_TIME_LIMIT: Duration = Duration::from_mins(20);

pub(super) fn on_this_kernel(object: Option<&Path>) -> Result<Tally> {
    require_root("loading programs into the kernel")?;
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        bail!(
            "this kernel has no BTF (/sys/kernel/btf/vmlinux is missing): the probes cannot be tested on it"
        );
    }
    let mut tests = Command::new(test_program()?);
    // One at a time: they count what happens on the whole machine.
    tests
        .args(["--test-threads=1", "--color=never"])
        .envs(object.map(|object| (OBJECT_VARIABLE, object)));
    count(&mut tests)
}

pub(super) fn on_other_kernels(object: Option<&Path>) -> Result<Tally> {
    prerequisites::ensure(prerequisites::EMULATOR)?;
    let folder = tempfile::tempdir()?;
    // Debug information is most of the file, and every byte of it would be copied by an emulated processor.
    let program = folder.path().join("kernel-tests");
    let agent = folder.path().join("procmon-agent");
    strip(&test_program()?, &program)?;
    strip(&pair::binaries("debug")?.join("procmon-agent"), &agent)?;
    let mut sum = Tally::default();
    let mut failures = Vec::new();
    for series in SERIES {
        match in_guest(series, &program, &agent, object) {
            Ok(tally) => sum += tally,
            Err(error) => failures.push(format!("{series}: {error:#}")),
        }
    }
    if failures.is_empty() {
        Ok(sum)
    } else {
        bail!("{}", failures.join("\n"))
    }
}

fn strip(program: &Path, stripped: &Path) -> Result<()> {
    let mut objcopy = Command::new("objcopy");
    objcopy.arg("--strip-debug").arg(program).arg(stripped);
    command::capture(&mut objcopy).map(drop)
}

fn in_guest(series: &str, program: &Path, agent: &Path, object: Option<&Path>) -> Result<Tally> {
    let kernel = Kernel::of_series(series)?;
    println!("-- Linux {}", kernel.release);
    let file = |host: &Path, guest: &str| GuestFile {
        host: host.to_path_buf(),
        guest: guest.to_owned(),
    };
    let mut files = vec![
        file(program, "/bin/kernel-tests"),
        file(agent, "/bin/procmon-agent"),
    ];
    files.extend(object.map(|object| file(object, "/lib/procmon-ebpf.o")));
    let mut environment = vec![
        ("PROCMON_TEST_DISK".to_owned(), "/dev/vda".to_owned()),
        // Here, and only here, tests may change what belongs to the whole machine.
        ("PROCMON_TEST_GUEST".to_owned(), "1".to_owned()),
        (
            "PROCMON_AGENT_BINARY".to_owned(),
            "/bin/procmon-agent".to_owned(),
        ),
    ];
    environment
        .extend(object.map(|_| (OBJECT_VARIABLE.to_owned(), "/lib/procmon-ebpf.o".to_owned())));
    let report = qemu::boot(&GuestRun {
        kernel: &kernel,
        files,
        command: ["/bin/kernel-tests", "--test-threads=1", "--color=never"]
            .map(str::to_owned)
            .to_vec(),
        environment,
        kernel_arguments: Vec::new(),
        memory_mib: 1024,
        disk_mib: 64,
        time_limit: GUEST_TIME_LIMIT,
        echo: true,
    })?;
    verdict(&report)
}

fn verdict(report: &GuestReport) -> Result<Tally> {
    let tally = Tally::of_output(&report.console);
    match report.exit_code {
        None => bail!(
            "the guest never reached its end. Its last lines:\n{}",
            report.tail(30)
        ),
        Some(code) if code != 0 && tally.failed == 0 => {
            bail!("the tests ended with {code}:\n{}", report.tail(30))
        }
        Some(_) if tally.is_empty() => bail!("no test ran:\n{}", report.tail(30)),
        Some(_) => Ok(tally),
    }
}

/// Builds the tests; cargo says where it put them.
fn test_program() -> Result<PathBuf> {
    build_debug()?;
    let messages = command::capture(cargo()?.args([
        "test",
        "--quiet",
        "--no-run",
        "--message-format=json",
        "--test",
        TARGET,
    ]))?;
    program_in(&messages).with_context(|| format!("cargo built no test program `{TARGET}`"))
}

fn program_in(messages: &str) -> Option<PathBuf> {
    let messages = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut programs = messages
        .filter(|message| message["target"]["name"] == TARGET && message["profile"]["test"] == true)
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from));
    programs.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(exit_code: Option<i32>, console: &str) -> GuestReport {
        GuestReport {
            exit_code,
            console: console.to_owned(),
            elapsed: Duration::ZERO,
        }
    }

    #[test]
    fn a_guest_that_does_not_end_or_tests_nothing_has_failed() {
        let ok = "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(verdict(&report(Some(0), ok)).unwrap().passed, 2);
        assert!(verdict(&report(None, ok)).is_err());
        assert!(verdict(&report(Some(0), "")).is_err());
        assert!(verdict(&report(Some(101), ok)).is_err());
    }

    #[test]
    fn a_failing_test_is_counted() {
        let failed =
            "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(verdict(&report(Some(101), failed)).unwrap().failed, 1);
    }

    #[test]
    fn the_program_is_found_in_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"procmon-agent"},"profile":{"test":false},"executable":"/t/agent"}
{"reason":"compiler-artifact","target":{"name":"kernel"},"profile":{"test":true},"executable":"/t/kernel-1"}
not json"#;
        assert_eq!(program_in(messages), Some(PathBuf::from("/t/kernel-1")));
        assert_eq!(program_in(""), None);
    }
}
