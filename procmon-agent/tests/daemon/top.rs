//! `procmon-agent top`, for root and for anyone.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;

use super::agent::{NOBODY, Sleeper};
use super::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("top::one_table_for_root", root),
        trial("top::anyone_sees_what_proc_shows", nobody),
    ]
}

fn table(command: &mut Command) -> Result<String> {
    let output = command.args(["top", "--once", "--interval=1s"]).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// The fields before the command, of the one line that contains this.
fn fields<'a>(text: &'a str, marker: &str) -> Result<Vec<&'a str>> {
    let line = text.lines().find(|line| line.contains(marker));
    Ok(line
        .with_context(|| text.to_owned())?
        .split_whitespace()
        .collect())
}

fn root() -> Result<()> {
    let _sleeper = Sleeper::start("top-for-root\u{1b}[2J", 1)?;
    let text = table(&mut Command::new(env!("CARGO_BIN_EXE_procmon-agent")))?;
    let fields = fields(&text, "top-for-root·[2J")?;
    ensure!(fields[1] == "root" && fields[2] == "S", "{fields:?}");
    ensure!(fields[6].parse::<u32>()? == 1, "one thread: {fields:?}");
    ensure!(fields[7].parse::<u32>()? >= 3, "descriptors: {fields:?}");
    ensure!(!text.contains('\u{1b}'), "nothing drives the terminal");
    Ok(())
}

fn nobody() -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let _sleeper = Sleeper::start("top-for-nobody", 1)?;
    // Where it is built only root may go.
    let folder = tempfile::tempdir()?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
    let copy = folder.path().join("procmon-agent");
    std::fs::copy(env!("CARGO_BIN_EXE_procmon-agent"), &copy)?;
    let id = NOBODY.to_string();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", &id, "--regid", &id, "--clear-groups", "--"])
        .arg(copy)
        .env("HOME", "/nonexistent");
    let text = table(&mut command)?;
    let fields = fields(&text, "top-for-nobody")?;
    ensure!(fields[1] == "root", "{fields:?}");
    Ok(())
}
