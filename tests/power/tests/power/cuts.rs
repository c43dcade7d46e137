//! Power cuts while the stores are in use.

use meridian_power::disk::Disk;
use meridian_power::process_run::{RunFaults, Watched, progress};
use meridian_power::progress::Progress;
use meridian_power::record::Record;
use meridian_power::tree::Tree;

use crate::support::{check_all, home, images, programs, seeds};

const STEPS: [&str; 10] = [
    "creation",
    "open",
    "vote",
    "append",
    "data version",
    "truncation",
    "snapshot built",
    "purge",
    "snapshot installed",
    "close",
];

/// Verifies that the shim recorded everything: the model of the disk must equal the real directory.
pub fn assert_complete(watched: &Watched, records: &[Record]) {
    let mut disk = Disk::new(&watched.directory(), watched.base());
    records.iter().for_each(|record| disk.apply(record));
    let real = Tree::read(&watched.directory()).expect("the directory is readable");
    assert!(disk.live() == real, "the journal does not lead to the real directory");
}

#[test]
fn a_power_cut_anywhere_in_a_first_run_loses_nothing_acknowledged() {
    let home = home();
    let watched = Watched::new(&programs(), home.path(), Tree::default());
    let status = watched.run("first", &["small", "wait-for-mark", "close"], &RunFaults::default());
    assert!(status.success(), "{status:?}");
    let records = watched.records();
    assert_complete(&watched, &records);
    let images = images(&watched, &records, seeds);
    let tally = check_all("check", &images, &["small"]);
    tally.assert_nothing_lost("first run");
    tally.assert_ordered_disks_accepted();
    tally.assert_covers(&STEPS);
}

#[test]
fn a_power_cut_loses_nothing_when_the_log_is_one_file() {
    let home = home();
    let watched = Watched::new(&programs(), home.path(), Tree::default());
    let status = watched.run("first", &["close"], &RunFaults::default());
    assert!(status.success(), "{status:?}");
    let records = watched.records();
    assert_complete(&watched, &records);
    let images = images(&watched, &records, |at| if at % 4 == 0 { seeds(at) } else { vec![] });
    let tally = check_all("check", &images, &[]);
    tally.assert_nothing_lost("first run with default chunk limits");
    tally.assert_ordered_disks_accepted();
}

/// A killed process leaves unsynced data to the next process run, which reads it and must not rely
/// on it before it is durable.
#[test]
fn a_power_cut_after_a_kill_loses_nothing_that_the_second_run_acknowledged() {
    let home = home();
    let watched = Watched::new(&programs(), home.path(), Tree::default());
    watched.run("first", &["small", "close"], &RunFaults::default());
    let all = progress(&watched.records());
    let mut images_of_all = Vec::new();
    for (after, last) in all.iter().enumerate().map(|(at, step)| (at + 1, step)) {
        // Entries of a replaced leader are certainly gone only once the next vote is durable.
        let replaced = all[..after].iter().filter(|step| matches!(step, Progress::Voted { .. }));
        let interesting = match last {
            Progress::Established
            | Progress::Opened
            | Progress::Voted { .. }
            | Progress::Installed { .. }
            | Progress::Closed => true,
            Progress::Purged { index } => *index == 16,
            Progress::Appended { index, .. } => [2, 8, 13, 16, 52].contains(index),
            _ => false,
        };
        if !interesting || replaced.count() == 2 {
            continue;
        }
        let home = crate::support::home();
        let watched = Watched::new(&programs(), home.path(), Tree::default());
        let faults = RunFaults { kill_after: Some(after), fault: None };
        watched.run("first", &["small", "close"], &faults);
        let first = watched.records().len();
        let status = watched.run("later", &["small"], &RunFaults::default());
        assert!(status.success(), "after {last:?}: {status:?}");
        let records = watched.records();
        assert_complete(&watched, &records);
        images_of_all.extend(images(&watched, &records, |at| match at.checked_sub(first) {
            Some(behind) if behind % 8 == after % 8 => seeds(at),
            // Lose everything unsynced just before the second process run reports its first step.
            Some(0) => vec![0],
            _ => vec![],
        }));
    }
    let tally = check_all("check", &images_of_all, &["small"]);
    tally.assert_nothing_lost("second run after a kill");
    tally.assert_ordered_disks_accepted();
}
