//! `cargo xtask build-ebpf`: makes the eBPF object that is committed and embedded in the agent.
//!
//! The object is committed so that everybody else builds with a plain stable cargo. Its record, `toolchain.json`,
//! says which sources and which compiler made it: `check` compares the sources, `--verify` rebuilds and compares the
//! bytes. Nothing of the product lives here.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::workspace;

mod compile;
mod record;
mod toolchain;

use record::Record;
pub(crate) use record::verify_sources;
use toolchain::Toolchain;

/// Build procmon-ebpf/prebuilt/procmon-ebpf.o from its sources.
///
/// Needs Debian's rustc-web and LLVM 22 (installed when run as root), or a rustup nightly with rust-src and
/// bpf-linker. Commit the object and toolchain.json together with the sources they came from.
#[derive(Args)]
pub(crate) struct Options {
    /// Rebuild into a temporary folder and compare with the committed object, changing nothing.
    #[arg(long)]
    verify: bool,
    /// Build an object whose programs log what they do into the target folder, for debugging them; the committed one stays.
    #[arg(long, conflicts_with = "verify")]
    log: bool,
}

/// What `--verify` found.
pub(crate) enum Verdict {
    /// The installed toolchain is the recorded one, and made the same bytes.
    SameBytes,
    /// Another toolchain made this object, which the kernel tests must load in place of the committed one.
    OtherToolchain { object: PathBuf, installed: String },
}

pub(crate) fn run(options: &Options) -> Result<()> {
    if options.verify {
        match verify()? {
            Verdict::SameBytes => {
                println!("the committed object is what its sources make, byte for byte");
            }
            Verdict::OtherToolchain { object, installed } => println!(
                "the installed toolchain is not the recorded one ({installed}), so bytes cannot be compared. \
                 Load what it made instead: PROCMON_EBPF_OBJECT={} cargo test -p procmon-agent --test kernel",
                object.display()
            ),
        }
        return Ok(());
    }
    let root = workspace::root()?;
    let toolchain = toolchain::find_or_install()?;
    let built = compile::compile(&root, &toolchain, options.log)?;
    if options.log {
        let object = workspace::target_dir()?.join("ebpf/procmon-ebpf-log.o");
        fs::write(&object, &built.object)
            .with_context(|| format!("cannot write {}", object.display()))?;
        println!(
            "load it with: PROCMON_EBPF_OBJECT={} PROCMON_LOG=debug cargo run -p procmon-agent --features ebpf-log",
            object.display()
        );
        return Ok(());
    }
    let record = Record::of(&root, &toolchain, &built)?;
    let prebuilt = root.join(record::PREBUILT);
    fs::create_dir_all(&prebuilt)?;
    fs::write(prebuilt.join(record::OBJECT), &built.object).context("cannot write the object")?;
    record.write(&root)?;
    println!(
        "{}/{}: {} bytes, sha256 {}",
        record::PREBUILT,
        record::OBJECT,
        built.object.len(),
        record.object_sha256
    );
    Ok(())
}

/// Rebuilds the object and compares it with the committed one.
pub(crate) fn verify() -> Result<Verdict> {
    let root = workspace::root()?;
    verify_sources()?;
    let record = Record::read(&root)?;
    let toolchain = toolchain::find_or_install()?;
    let built = compile::compile(&root, &toolchain, false)?;
    let rebuilt = workspace::target_dir()?.join("ebpf/procmon-ebpf.o");
    fs::write(&rebuilt, &built.object)
        .with_context(|| format!("cannot write {}", rebuilt.display()))?;
    compare(&root, &record, &toolchain, rebuilt, &built.object)
}

fn compare(
    root: &Path,
    record: &Record,
    toolchain: &Toolchain,
    rebuilt: PathBuf,
    object: &[u8],
) -> Result<Verdict> {
    let committed = record.committed_object(root)?;
    if record.toolchain != toolchain.versions {
        let installed = format!("{:?}", toolchain.versions);
        return Ok(Verdict::OtherToolchain {
            object: rebuilt,
            installed,
        });
    }
    if committed != object {
        bail!(
            "the committed object ({} bytes) is not what its sources make ({} bytes, kept as {}). \
             Run `cargo xtask build-ebpf` and commit {}",
            committed.len(),
            object.len(),
            rebuilt.display(),
            record::PREBUILT,
        );
    }
    Ok(Verdict::SameBytes)
}
