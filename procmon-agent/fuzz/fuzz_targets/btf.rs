//! Any bytes as a kernel's BTF: `cargo +nightly fuzz run btf` in procmon-agent.
#![no_main]

use libfuzzer_sys::fuzz_target;
use procmon_agent::kernel::btf::Btf;
use procmon_agent::kernel::resolve_offsets;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(btf) = Btf::parse(bytes.to_vec()) {
        let _ = resolve_offsets(&btf);
    }
});
