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

/// A column of the one line that contains this.
fn field<'a>(text: &'a str, marker: &str, column: &str) -> Result<&'a str> {
    let line = |what: &str| text.lines().find(|line| line.contains(what));
    let head = line("COMMAND").context("a head")?.split_whitespace();
    let index = head
        .clone()
        .position(|name| name == column)
        .with_context(|| format!("no {column} in {text}"))?;
    let found = line(marker).with_context(|| text.to_owned())?;
    found
        .split_whitespace()
        .nth(index)
        .context("as many fields")
}

fn root() -> Result<()> {
    let _sleeper = Sleeper::start("top-for-root\u{1b}[2J", 1)?;
    let text = table(&mut Command::new(env!("CARGO_BIN_EXE_procmon-agent")))?;
    let field = |column| field(&text, "top-for-root·[2J", column);
    ensure!(field("USER")? == "root" && field("S")? == "S", "{text}");
    ensure!(field("THR")?.parse::<u32>()? == 1, "{text}");
    ensure!(field("FDS")?.parse::<u32>()? >= 3, "{text}");
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
    ensure!(field(&text, "top-for-nobody", "USER")? == "root", "{text}");
    Ok(())
}
