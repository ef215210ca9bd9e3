//! Records and samples that come later than what they tell of.

use super::*;
use crate::sample::SampledIdentity;

#[test]
fn an_exit_that_comes_after_the_sample_that_misses_its_process_is_told_as_it_was() {
    let grace = std::time::Duration::from_millis(1);
    let mut table = Table::new(false, true);
    fork(&mut table, PARENT, 50);
    fork(&mut table, CHILD, 100);
    table.merge(sample(&[PARENT, CHILD]), None, grace);
    table.take_changes();
    table.merge(sample(&[PARENT]), None, grace);
    assert!(
        table.take_changes().events.is_empty(),
        "its exit may be on the way"
    );
    exit(&mut table, CHILD, 100);
    free(&mut table, CHILD, 100);
    assert!(!table.take_changes().events[0].sampled);

    table.merge(sample(&[]), None, grace);
    table.merge(sample(&[]), None, grace);
    let changes = table.take_changes();
    assert_eq!((exits(&changes).len(), table.len()), (1, 0));
    assert!(changes.events[0].sampled, "missed twice, it was lost");
}

#[test]
fn a_sample_that_began_before_an_exec_does_not_give_the_old_name_back() {
    let mut table = Table::new(false, true);
    fork(&mut table, CHILD, 100);
    let mut early = sample(&[CHILD]);
    early.processes[0].identity = Some(SampledIdentity {
        start_boot_ns: 1_000_000_000,
        comm: *b"forker\0\0\0\0\0\0\0\0\0\0",
        ..SampledIdentity::default()
    });
    let mut late = sample(&[CHILD]);
    late.processes.clone_from(&early.processes);
    exec(&mut table, CHILD, 100, b"/bin/child\0");
    early.ts_boot_ns = header(CHILD, 100).ts_boot_ns;
    late.ts_boot_ns = early.ts_boot_ns + 1;
    for (sample, name) in [(early, ""), (late, "forker")] {
        table.merge(sample, None, std::time::Duration::ZERO);
        let told = table.take_key();
        assert_eq!(
            told.processes[0]
                .image
                .as_ref()
                .map(|image| &image.name[..]),
            Some(name.as_bytes())
        );
    }
}
