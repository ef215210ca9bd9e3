//! A private PostgreSQL: its own folder, a loopback port, gone when the last test that uses it ends.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// A loaded machine takes its time.
const PATIENCE: Duration = Duration::from_secs(120);

/// Files and processes of one PostgreSQL, which may be stopped and started again.
pub(crate) struct Cluster {
    folder: tempfile::TempDir,
    programs: PathBuf,
    user: Option<(u32, u32)>,
    pub(crate) port: u16,
    server: Mutex<Option<Child>>,
    databases: AtomicU32,
}

/// One that all tests of this program share.
static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());

impl Cluster {
    pub(crate) fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let cluster = Arc::new(Self::start_in(tempfile::tempdir().expect("a folder")));
            *shared = Arc::downgrade(&cluster);
            cluster
        })
    }

    /// Makes one in a folder and starts it.
    pub(crate) fn start_in(folder: tempfile::TempDir) -> Self {
        let user = unprivileged();
        if let Some((uid, gid)) = user {
            chown(folder.path(), Some(uid), Some(gid)).expect("a folder to give away");
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let cluster = Self {
            folder,
            programs: programs(),
            user,
            port,
            server: Mutex::new(None),
            databases: AtomicU32::new(0),
        };
        let made = cluster
            .command("initdb")
            .args(["--no-sync", "-A", "trust", "-U", "procmon", "-E", "UTF8"])
            .args(["--locale", "C", "-D"])
            .arg(cluster.data())
            .output()
            .expect("initdb runs");
        assert!(
            made.status.success(),
            "initdb failed: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        cluster.start();
        cluster
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command
            .env_clear()
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Starts it, and waits until it answers.
    pub(crate) fn start(&self) {
        let log = std::fs::File::create(self.folder.path().join("log")).expect("a log");
        let child = self
            .command("postgres")
            .arg("-D")
            .arg(self.data())
            .args(["-c", "listen_addresses=127.0.0.1"])
            .arg("-c")
            .arg(format!("port={}", self.port))
            .arg("-c")
            .arg(format!(
                "unix_socket_directories={}",
                self.folder.path().display()
            ))
            // Tests kill programs, not the machine: what is written is there.
            .args(["-c", "fsync=off", "-c", "full_page_writes=off"])
            .args(["-c", "max_connections=100"])
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("postgres runs");
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
        let deadline = Instant::now() + PATIENCE;
        while !self.answers() {
            assert!(
                Instant::now() < deadline,
                "PostgreSQL did not start: {}",
                std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn answers(&self) -> bool {
        let status = self
            .command("pg_isready")
            .args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()])
            .status();
        status.expect("pg_isready runs").success()
    }

    /// Ends it as a crash would: every connection is cut in the middle of what it does.
    pub(crate) fn stop(&self) {
        let child = self
            .server
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(mut child) = child else { return };
        // SIGQUIT is its immediate shutdown; SIGKILL would leave its children behind.
        let pid = child.id().to_string();
        let sent = Command::new("kill").args(["-QUIT", &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill failed");
        child.wait().expect("it ends");
    }

    /// Stops it from answering, without cutting its connections, or lets it go on.
    pub(crate) fn freeze(&self, frozen: bool) {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        let pid = server.as_ref().expect("it runs").id().to_string();
        let signal = if frozen { "-STOP" } else { "-CONT" };
        let children = Command::new("pgrep").args(["-P", &pid]).output();
        let children = children.expect("pgrep runs").stdout;
        let children = String::from_utf8_lossy(&children).into_owned();
        for pid in std::iter::once(&*pid).chain(children.split_whitespace()) {
            // One that has just ended is as still as can be.
            let _ = Command::new("kill").args([signal, pid]).status();
        }
    }

    /// A new and empty database; returns its DSN.
    pub(crate) fn database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        self.sql("postgres", &format!("create database {name}"));
        self.dsn(&name)
    }

    /// A database whose data is in a folder of its own.
    pub(crate) fn database_in(&self, folder: &Path) -> String {
        if let Some((uid, gid)) = self.user {
            chown(folder, Some(uid), Some(gid)).expect("a folder to give away");
        }
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let place = folder.join("tablespace");
        std::fs::create_dir(&place).expect("a folder");
        if let Some((uid, gid)) = self.user {
            chown(&place, Some(uid), Some(gid)).expect("a folder to give away");
        }
        let place = place.display();
        self.sql(
            "postgres",
            &format!("create tablespace small_{number} location '{place}'"),
        );
        let name = format!("test_{number}");
        let made = format!("create database {name} tablespace small_{number}");
        self.sql("postgres", &made);
        self.dsn(&name)
    }

    pub(crate) fn dsn(&self, database: &str) -> String {
        format!("postgres://procmon@127.0.0.1:{}/{database}", self.port)
    }

    /// A client of a database, which ends at the first error.
    pub(crate) fn psql(&self, database: &str) -> Command {
        let mut command = self.command("psql");
        command
            .args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d"])
            .arg(format!("{}?connect_timeout=60", self.dsn(database)));
        command
    }

    /// Runs statements; returns what psql prints.
    pub(crate) fn sql(&self, database: &str, statements: &str) -> String {
        let done = self
            .psql(database)
            .args(["-c", statements])
            .output()
            .expect("psql runs");
        let errors = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{statements}: {errors}");
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Where initdb and postgres are.
fn programs() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path);
    let packaged = std::fs::read_dir("/usr/lib/postgresql");
    let packaged = packaged.into_iter().flatten().flatten();
    let packaged = packaged.map(|version| version.path().join("bin"));
    // On the path they may be links to where they are at home, with the others.
    let at_home = |folder: PathBuf| {
        let program = folder.join("initdb").canonicalize().ok()?;
        Some(program.parent()?.to_owned())
    };
    let complete = |folder: &PathBuf| {
        let programs = ["initdb", "postgres", "psql", "pg_isready"];
        programs.iter().all(|name| folder.join(name).exists())
    };
    on_path
        .chain(packaged)
        .filter_map(at_home)
        .find(complete)
        .expect(
            "PostgreSQL is not installed: these tests start their own (apt-get install postgresql)",
        )
}

/// PostgreSQL refuses to run as root: then the user who is for it, or nobody.
fn unprivileged() -> Option<(u32, u32)> {
    let own = std::fs::metadata("/proc/self").expect("proc");
    if std::os::unix::fs::MetadataExt::uid(&own) != 0 {
        return None;
    }
    let accounts = std::fs::read_to_string("/etc/passwd").expect("accounts");
    let find = |wanted: &str| {
        let line = accounts
            .lines()
            .find(|line| line.split(':').next() == Some(wanted))?;
        let mut numbers = line.split(':').skip(2).map_while(|text| text.parse().ok());
        Some((numbers.next()?, numbers.next()?))
    };
    Some(find("postgres").or_else(|| find("nobody")).expect("a user"))
}

/// The database that a DSN of this module names.
pub(crate) fn name_of(dsn: &str) -> &str {
    Path::new(dsn)
        .file_name()
        .and_then(|name| name.to_str())
        .expect("a name")
}
