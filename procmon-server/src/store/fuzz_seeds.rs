//! What the fuzz targets begin with: without it they would hardly ever get past the first bytes of a batch or of a segment.

use std::path::Path;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use super::format;
use super::segment::{EventSegment, older};

/// `cargo xtask test --only fuzz` says where; otherwise they are written for nobody.
const FOLDER_VARIABLE: &str = "PROCMON_FUZZ_SEEDS";
const BATCHES: usize = 64;
/// As long as an input may be.
const MOST_BYTES: usize = 4096;

fn write(folder: &Path, target: &str, seeds: Vec<Vec<u8>>) {
    let folder = folder.join(target);
    std::fs::create_dir_all(&folder).expect("a folder");
    let small = seeds.into_iter().filter(|seed| seed.len() <= MOST_BYTES);
    let mut written = 0;
    for seed in small {
        std::fs::write(folder.join(format!("seed-{written}")), seed).expect("a file");
        written += 1;
    }
    assert!(written > 0, "{target} has no seed that is small enough");
}

#[test]
fn are_read() {
    let mut runner = TestRunner::deterministic();
    let mut batches = Vec::new();
    for _ in 0..BATCHES {
        let tree = format::tests::batch().new_tree(&mut runner);
        batches.push(tree.expect("a batch").current());
    }
    let stored: Vec<_> = batches.iter().map(format::encode).collect();
    for (bytes, batch) in stored.iter().zip(&batches) {
        assert_eq!(&format::decode(bytes).expect("just written"), batch);
    }
    let mut segments = Vec::new();
    for count in [1, 2, 4, 8] {
        let (samples, events) = older::written(&older::batches()[..count]);
        EventSegment::open(&events).expect("just written");
        segments.extend([samples, events]);
    }
    let temporary = tempfile::tempdir().expect("a folder");
    let named = std::env::var_os(FOLDER_VARIABLE);
    let folder = named.as_deref().map_or(temporary.path(), Path::new);
    write(folder, "stored_batch", stored);
    write(folder, "segment", segments);
}
