//! A PostgreSQL of our own: in a private folder, on a Unix socket alone, and gone afterwards.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context, Result, bail};
use nix::unistd::{Uid, User};

use crate::command;
use crate::service::{Echo, Service};

const START_LIMIT: Duration = Duration::from_mins(1);
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// Where Debian has its programs, out of the way of PATH.
const DEBIAN: &str = "/usr/lib/postgresql";

pub(super) struct Postgres {
    service: Service,
    folder: PathBuf,
}

impl Postgres {
    pub(super) fn start(folder: &Path) -> Result<Self> {
        let programs = programs()?;
        let owner = owner()?;
        fs::create_dir(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        if let Some(owner) = &owner {
            chown(folder, Some(owner.uid.as_raw()), Some(owner.gid.as_raw()))
                .with_context(|| format!("cannot give {} to {}", folder.display(), owner.name))?;
            // It has to get there.
            let above = folder.parent().context("a folder in the root")?;
            fs::set_permissions(above, fs::Permissions::from_mode(0o711))?;
        }
        let data = folder.join("data");
        let mut initdb = as_owner(owner.as_ref(), &programs.join("initdb"));
        initdb.args([
            "--auth=trust",
            "--username=procmon",
            "--no-instructions",
            "--encoding=UTF8",
            "-D",
        ]);
        command::capture(initdb.arg(&data)).context("initdb")?;
        let mut postgres = as_owner(owner.as_ref(), &programs.join("postgres"));
        postgres.arg("-D").arg(&data).arg("-k").arg(folder);
        postgres.args([
            "-c",
            "listen_addresses=",
            "-c",
            "max_wal_size=2GB",
            "-c",
            "shared_buffers=256MB",
        ]);
        let log = folder.with_extension("log");
        let mut service = Service::start("database", &mut postgres, &log, Echo::Off)?;
        service.wait_for_line(START_LIMIT, |line| {
            line.contains("ready to accept connections").then_some(())
        })?;
        Ok(Self {
            service,
            folder: folder.to_owned(),
        })
    }

    pub(super) fn dsn(&self) -> String {
        let folder = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://procmon@{folder}/postgres")
    }

    pub(super) fn pid(&self) -> u32 {
        self.service.pid()
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn stop(mut self) -> Result<()> {
        let status = self.service.stop(STOP_LIMIT)?;
        if !status.success() {
            bail!(
                "PostgreSQL did not stop in good order ({status}):\n{}",
                self.service.last_lines(20)
            );
        }
        Ok(())
    }
}

/// The folder of its programs: the newest that Debian has, or that of PATH.
fn programs() -> Result<PathBuf> {
    let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let version_of = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions
        .map(|entry| entry.path())
        .filter(|path| path.join("bin/initdb").exists())
        .max_by_key(|path| version_of(path));
    if let Some(newest) = newest {
        return Ok(newest.join("bin"));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).find(|folder| folder.join("initdb").exists());
    found.context("there is no PostgreSQL; install it with: apt-get install postgresql")
}

/// PostgreSQL refuses to run as root: then it runs as nobody does.
fn owner() -> Result<Option<User>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    let nobody = User::from_name("nobody")?.context("there is no user `nobody`")?;
    Ok(Some(nobody))
}

/// It is killed when we end without having stopped it.
fn as_owner(owner: Option<&User>, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if let Some(owner) = owner {
        command.args([
            "--reuid",
            &owner.uid.to_string(),
            "--regid",
            &owner.gid.to_string(),
        ]);
        command.arg("--clear-groups");
    }
    command.args(["--pdeathsig", "QUIT", "--"]).arg(program);
    // Not ours, which it may not be allowed to enter.
    command.current_dir("/");
    command
}
