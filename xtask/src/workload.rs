//! The processes whose samples and events `bench store` keeps. Started by it, in namespaces of their own, and hidden from
//! `--help`.

use std::io::{self, Read, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::sandbox::this_program;

/// In a quiet mix, every so many-th process works; the others sleep.
const WORKING: u32 = 20;
/// Units of a build or rounds of cron that run at a time.
const WORKERS: u32 = 2;

/// Start processes, print `ready`, and end when the standard input does.
#[derive(Args)]
pub(crate) struct Options {
    #[arg(long)]
    kind: Kind,
    #[arg(long, default_value_t = 0)]
    processes: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Sleepers, and some that work a little every second.
    Quiet,
    /// Every process works between any two samples.
    Changing,
    /// Compilers that do nothing, each with its own long command line.
    Build,
    /// The same few short commands again and again.
    Cron,
}

/// Be a process that works.
#[derive(Args)]
pub(crate) struct Worker {
    /// Milliseconds from one piece of work to the next.
    #[arg(long)]
    every: u64,
    #[arg(long)]
    seed: u32,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let lives = match options.kind {
        Kind::Quiet | Kind::Changing => {
            for number in 0..options.processes {
                start(options.kind, number)?;
            }
            None
        }
        Kind::Build | Kind::Cron => Some(Lives::start(options.kind)),
    };
    println!("ready");
    io::stdin().read_to_end(&mut Vec::new())?;
    drop(lives);
    Ok(())
}

fn start(kind: Kind, number: u32) -> Result<()> {
    let works = kind == Kind::Changing || number.is_multiple_of(WORKING);
    let mut program = if works {
        let every = if kind == Kind::Changing {
            "200"
        } else {
            "1000"
        };
        this_program(&["worker", "--every", every, "--seed", &number.to_string()])?
    } else {
        this_program(&["sleeper"])?
    };
    program
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start process {number}"))?;
    Ok(())
}

/// Works: memory that grows and shrinks, bytes written, a little CPU, in amounts that are never the same.
pub(crate) fn work(options: &Worker) -> Result<()> {
    let mut random = u64::from(options.seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let mut sink = std::fs::File::create("/dev/null").context("cannot open /dev/null")?;
    thread::sleep(Duration::from_millis(next() % options.every));
    loop {
        let block = vec![next() as u8; (64 << 10) + (next() % (512 << 10)) as usize];
        sink.write_all(&block)?;
        let until = Instant::now() + Duration::from_micros(200 + next() % 800);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        drop(block);
        thread::sleep(Duration::from_millis(options.every));
    }
}

/// Short lives, one after the other, until it is dropped.
struct Lives {
    stop: Arc<AtomicBool>,
    workers: Vec<thread::JoinHandle<()>>,
}

impl Lives {
    fn start(kind: Kind) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let number = Arc::new(AtomicU32::new(0));
        let workers = (0..WORKERS).map(|_| {
            let (stop, number) = (Arc::clone(&stop), Arc::clone(&number));
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let outcome = unit(kind, number.fetch_add(1, Ordering::Relaxed));
                    if let Err(error) = outcome {
                        eprintln!("{error:#}");
                        return;
                    }
                }
            })
        });
        Self {
            workers: workers.collect(),
            stop,
        }
    }
}

impl Drop for Lives {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

/// One unit of a build, as `make` and `cargo` have it: a shell, a driver, a compiler and an assembler; or one round of cron.
fn unit(kind: Kind, number: u32) -> Result<()> {
    let script = match kind {
        Kind::Cron => {
            let job = ["hourly", "daily", "mail", "logrotate", "sync"][number as usize % 5];
            format!("cd / && /bin/true --report /etc/cron.{job} && /bin/true --lsbsysinit {job}")
        }
        _ if number.is_multiple_of(4) => rust_unit(number),
        _ => c_unit(number),
    };
    let status = Command::new("/bin/sh")
        .args(["-c", &script])
        .stdin(Stdio::null())
        .status()
        .context("cannot start a shell")?;
    if !status.success() {
        bail!("{script}: {status}");
    }
    Ok(())
}

fn c_unit(number: u32) -> String {
    let (module, file) = (number / 37, format!("part_{}_{number}", number % 101));
    let flags = "-std=gnu11 -Wall -Wextra -O2 -g -fno-strict-aliasing -DHAVE_CONFIG_H -D_GNU_SOURCE \
        -I. -I../include -I../include/linux -I/usr/include/glib-2.0";
    let object = format!("module_{module}/.libs/{file}.o");
    let temporary = format!(
        "/tmp/cc{:06x}.s",
        number.wrapping_mul(2_654_435_761) & 0xff_ffff
    );
    format!(
        "/bin/true gcc {flags} -MT {object} -MD -MP -MF module_{module}/.deps/{file}.Tpo -c -o {object} module_{module}/{file}.c && \
         /bin/true cc1 -quiet -I. -I../include -imultiarch x86_64-linux-gnu -MD module_{module}/.deps/{file}.d -D HAVE_CONFIG_H \
         module_{module}/{file}.c -quiet -dumpdir module_{module}/.libs/ -dumpbase {file}.c -mtune=generic -march=x86-64 -g -O2 \
         -Wall -Wextra -std=gnu11 -o {temporary} && /bin/true as -I . -I ../include --gdwarf-5 --64 -o {object} {temporary}"
    )
}

fn rust_unit(number: u32) -> String {
    let hash = |number: u32| {
        let mixed = u64::from(number)
            .wrapping_add(1)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        format!("{:016x}", mixed ^ (mixed >> 29))
    };
    let mut script = format!(
        "/bin/true rustc --crate-name crate_{number} --edition=2021 src/crate_{number}/lib.rs --error-format=json \
         --json=diagnostic-rendered-ansi,artifacts,future-incompat --crate-type lib --emit=dep-info,metadata,link -C opt-level=3 \
         -C embed-bitcode=no -C metadata={0} -C extra-filename=-{0} --out-dir /build/target/release/deps \
         -C strip=debuginfo -L dependency=/build/target/release/deps",
        hash(number)
    );
    for dependency in 0..number % 12 {
        let other = number.wrapping_sub(4 * (1 + dependency * dependency));
        let hash = hash(other);
        script = script
            + " --extern "
            + &format!("crate_{other}=/build/target/release/deps/libcrate_{other}-{hash}.rmeta");
    }
    script + " --cap-lints allow"
}
