//! The compiler of the eBPF object: Debian's rustc with LLVM 22, or a rustup nightly.
//!
//! Two things must fit together: a rustc that has the source of `core` (there is no prebuilt `core` for BPF), and a
//! bpf-linker whose LLVM is at least as new as that rustc's. Debian 12 has such a pair as ordinary packages, therefore
//! it is what the committed object is made with.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::command;
use crate::prerequisites::{CargoTool, ensure_packages, find, package_version};

const PACKAGES: &[&str] = &[
    "rustc-web",
    "cargo-web",
    "rust-web-src",
    "llvm-22-dev",
    "libpolly-22-dev",
    "libzstd-dev",
    "zlib1g-dev",
];

const BPF_LINKER: CargoTool = CargoTool {
    name: "bpf-linker",
    version: "0.13.0",
    arguments: &["--no-default-features", "--features", "llvm-22"],
    environment: &[("LLVM_PREFIX", "/usr/lib/llvm-22")],
};

/// A compiler and linker that can make the object.
pub(crate) struct Toolchain {
    pub(crate) cargo: PathBuf,
    pub(crate) rustc: PathBuf,
    pub(crate) bpf_linker: PathBuf,
    pub(crate) objcopy: PathBuf,
    /// The `library` folder of `core`'s source, under the names that the compiler may record: as it is found, and
    /// with links resolved.
    pub(crate) rust_src: [PathBuf; 2],
    pub(crate) versions: Versions,
}

/// What the bytes of the object depend on, besides its source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Versions {
    pub(crate) rustc: String,
    pub(crate) cargo: String,
    pub(crate) rust_src: String,
    pub(crate) llvm: String,
    pub(crate) bpf_linker: String,
}

/// The installed toolchain; installs Debian's when we may, and else says how.
pub(crate) fn find_or_install() -> Result<Toolchain> {
    let debian = match debian() {
        Ok(toolchain) => return Ok(toolchain),
        Err(error) => error,
    };
    let nightly = match nightly() {
        Ok(toolchain) => return Ok(toolchain),
        Err(error) => error,
    };
    bail!(
        "no toolchain for eBPF.\n\
         Debian's packages: {debian:#}\n  \
         sudo apt-get install -y --no-install-recommends {}\n  \
         LLVM_PREFIX=/usr/lib/llvm-22 {}\n\
         rustup: {nightly:#}\n  \
         rustup toolchain install nightly --component rust-src && cargo install bpf-linker\n\
         Everything but this command works without it: the object is committed.",
        PACKAGES.join(" "),
        command::describe(&BPF_LINKER.install_command()?),
    )
}

fn debian() -> Result<Toolchain> {
    ensure_packages(PACKAGES)?;
    let bpf_linker = BPF_LINKER.ensure()?;
    let sysroot = PathBuf::from("/usr");
    let version = |package: &str| {
        package_version(package).with_context(|| format!("{package} has no version"))
    };
    let rust_src = version("rust-web-src")?;
    let llvm = version("libllvm22")?;
    toolchain(
        &sysroot,
        bpf_linker,
        "/usr/lib/llvm-22/bin/llvm-objcopy".into(),
        rust_src,
        llvm,
    )
}

fn nightly() -> Result<Toolchain> {
    let mut rustup = Command::new("rustup");
    rustup.args(["run", "nightly", "rustc", "--print", "sysroot"]);
    let sysroot = PathBuf::from(
        command::capture(&mut rustup)
            .context("there is no nightly")?
            .trim(),
    );
    let bpf_linker = find("bpf-linker").context("bpf-linker is not on PATH")?;
    let objcopy = find("llvm-objcopy").context("llvm-objcopy is not on PATH")?;
    let llvm = rustc_fact(&sysroot.join("bin/rustc"), "LLVM version")?;
    toolchain(
        &sysroot,
        bpf_linker,
        objcopy,
        "rustup component".to_owned(),
        llvm,
    )
}

fn toolchain(
    sysroot: &Path,
    bpf_linker: PathBuf,
    objcopy: PathBuf,
    rust_src_version: String,
    llvm: String,
) -> Result<Toolchain> {
    let library = sysroot.join("lib/rustlib/src/rust/library");
    let resolved = fs::canonicalize(&library)
        .with_context(|| format!("the source of core is not at {}", library.display()))?;
    let cargo = sysroot.join("bin/cargo");
    let rustc = sysroot.join("bin/rustc");
    let first_line = |program: &Path| -> Result<String> {
        Ok(command::capture(clean(program).arg("--version"))?
            .trim()
            .to_owned())
    };
    let versions = Versions {
        rustc: first_line(&rustc)?,
        cargo: first_line(&cargo)?,
        rust_src: rust_src_version,
        llvm,
        bpf_linker: first_line(&bpf_linker)?,
    };
    Ok(Toolchain {
        cargo,
        rustc,
        bpf_linker,
        objcopy,
        rust_src: [library, resolved],
        versions,
    })
}

/// A command without what `cargo xtask` inherited from cargo and rustup: this is another toolchain.
pub(super) fn clean(program: &Path) -> Command {
    let mut command = Command::new(program);
    let foreign = |name: &str| {
        let kept = ["CARGO_HOME", "CARGO_TARGET_DIR", "RUSTUP_HOME"].contains(&name);
        !kept
            && ["CARGO", "RUST"]
                .iter()
                .any(|prefix| name.starts_with(prefix))
    };
    for (name, _) in env::vars_os() {
        if foreign(&name.to_string_lossy()) {
            command.env_remove(name);
        }
    }
    command
}

fn rustc_fact(rustc: &Path, name: &str) -> Result<String> {
    let text = command::capture(clean(rustc).arg("-vV"))?;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    value
        .map(str::to_owned)
        .with_context(|| format!("`rustc -vV` does not say its {name}"))
}
