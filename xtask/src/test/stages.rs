//! One function for each stage.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde_json::Value;

use super::tally::Tally;
use super::{Stage, count, count_any, fuzz, kernel, schemathesis};
use crate::build_ebpf::{self, Verdict};
use crate::check::{self, build_debug, cargo};
use crate::pair::{self, Pair, Setup};
use crate::prerequisites::{self, require_root};
use crate::service::Echo;
use crate::{command, load, soak, web};

pub(super) fn run(stage: Stage) -> Result<Tally> {
    match stage {
        Stage::Check => check::run(&check::Options {}).map(|()| Tally::one()),
        Stage::Web => web(),
        Stage::Workspace => workspace(),
        Stage::Schemathesis => schemathesis::run(),
        Stage::Fuzz => fuzz::run(),
        Stage::Kernel => kernel::on_this_kernel(None),
        Stage::KernelMatrix => kernel::on_other_kernels(None),
        Stage::Browser => browser(),
        Stage::Soak => soak::run(&soak::Options::short()).map(|()| Tally::one()),
        Stage::Load => load::run(&load::Options::short()).map(|()| Tally::one()),
        Stage::Ebpf => ebpf(),
    }
}

fn workspace() -> Result<Tally> {
    prerequisites::ensure(prerequisites::C_COMPILER)?;
    prerequisites::ensure_postgres()?;
    prerequisites::ensure(prerequisites::PROMETHEUS)?;
    prerequisites::ensure(prerequisites::ALERTMANAGER)?;
    // Signatures are verified by the reference libraries, from PyPI and npm.
    prerequisites::ensure_python()?;
    prerequisites::ensure_node()?;
    require_root("the test of the server with a real agent")?;
    // The end-to-end test starts the agent's program too, which a test of the server alone would not build.
    build_debug()?;
    // The kernel tests have a stage of their own, where they run one at a time.
    let metadata =
        command::capture(cargo()?.args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let mut tests = cargo()?;
    tests.args(["test", "--no-fail-fast", "--lib", "--bins"]);
    for name in test_targets(&metadata)?
        .iter()
        .filter(|name| *name != kernel::TARGET)
    {
        tests.args(["--test", name]);
    }
    let mut tally = count(&mut tests)?;
    tally += count_any(cargo()?.args(["test", "--no-fail-fast", "--doc"]))?;
    Ok(tally)
}

/// The names of the integration tests that `cargo metadata` lists.
fn test_targets(metadata: &str) -> Result<BTreeSet<String>> {
    let metadata: Value = serde_json::from_str(metadata).context("`cargo metadata`")?;
    let packages = metadata["packages"]
        .as_array()
        .context("`cargo metadata` lists no packages")?;
    let targets = packages
        .iter()
        .filter_map(|package| package["targets"].as_array())
        .flatten();
    let tests = targets.filter(|target| target["kind"][0] == "test");
    Ok(tests
        .filter_map(|target| target["name"].as_str().map(str::to_owned))
        .collect())
}

fn web() -> Result<Tally> {
    prerequisites::ensure_node()?;
    web::install()?;
    count(web::npm()?.args(["run", "--silent", "test"]))
}

fn browser() -> Result<Tally> {
    require_root("the browser test, whose agent watches the kernel,")?;
    prerequisites::ensure_node()?;
    prerequisites::ensure(prerequisites::BROWSER)?;
    // The UI first: the server embeds it.
    web::install()?;
    web::build()?;
    build_debug()?;
    let folder = tempfile::tempdir().context("cannot make a data folder")?;
    let mut pair = Pair::start(&Setup {
        binaries: &pair::binaries("debug")?,
        bind_addr: "127.0.0.1:0",
        data_dir: folder.path(),
        agent_id: Some("browser-test"),
        agent_arguments: &[],
        agent_environment: &[],
        echo: Echo::Off,
    })?;
    let tally = count(
        web::npm()?
            .args(["run", "--silent", "test:browser"])
            .env("PROCMON_URL", &pair.url),
    );
    pair.require_running()?;
    if tally.as_ref().map_or(true, |tally| tally.failed > 0) {
        println!(
            "server:\n{}\nagent:\n{}",
            pair.server.last_lines(20),
            pair.agent.last_lines(20)
        );
    }
    pair.stop()?;
    tally
}

/// With another compiler than the recorded one the bytes differ; then what it makes has to work.
fn ebpf() -> Result<Tally> {
    match build_ebpf::verify()? {
        Verdict::SameBytes => {
            println!("the committed object is what its sources make, byte for byte");
            Ok(Tally::one())
        }
        Verdict::OtherToolchain { object, installed } => {
            println!(
                "another toolchain than the recorded one: {installed}. Testing the object that it makes"
            );
            let mut tally = kernel::on_this_kernel(Some(&object))?;
            tally += kernel::on_other_kernels(Some(&object))?;
            Ok(tally)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integration_tests_are_found_in_the_metadata() {
        let metadata = r#"{"packages":[
            {"targets":[{"kind":["lib"],"name":"a"},{"kind":["test"],"name":"kernel"}]},
            {"targets":[{"kind":["test"],"name":"http"},{"kind":["bin"],"name":"b"}]}]}"#;
        assert_eq!(
            Vec::from_iter(test_targets(metadata).unwrap()),
            ["http", "kernel"]
        );
        assert!(test_targets("{}").is_err());
    }
}
