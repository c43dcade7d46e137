//! The power is cut while the stores work.

use meridian_power::disk::Disk;
use meridian_power::lives::{Ending, Watched, said};
use meridian_power::record::Record;
use meridian_power::said::Said;
use meridian_power::tree::Tree;

use crate::support::{check_all, home, images, programs, seeds};

const STEPS: [&str; 10] = [
    "first creation",
    "opening",
    "vote",
    "append",
    "data version",
    "truncation",
    "snapshot built",
    "purge",
    "snapshot installed",
    "closing",
];

/// Whether the shim saw all that the processes did.
pub fn saw_all(watched: &Watched, records: &[Record]) {
    let mut disk = Disk::new(&watched.directory(), watched.base());
    records.iter().for_each(|record| disk.apply(record));
    let real = Tree::read(&watched.directory()).expect("it can be read");
    assert!(disk.live() == real, "the journal leads to the directory as it is");
}

#[test]
fn a_cut_anywhere_in_a_first_life_loses_nothing_acknowledged() {
    let home = home();
    let watched = Watched::new(&programs(), home.path(), Tree::default());
    let status = watched.live("first", &["small", "patient", "close"], &Ending::default());
    assert!(status.success(), "{status:?}");
    let records = watched.records();
    saw_all(&watched, &records);
    let images = images(&watched, &records, seeds);
    let tally = check_all("check", &images, &["small"]);
    tally.conclude("a first life");
    tally.refuses_no_orderly_disk();
    tally.covers(&STEPS);
}

#[test]
fn a_cut_loses_nothing_where_the_log_is_one_file() {
    let home = home();
    let watched = Watched::new(&programs(), home.path(), Tree::default());
    let status = watched.live("first", &["close"], &Ending::default());
    assert!(status.success(), "{status:?}");
    let records = watched.records();
    saw_all(&watched, &records);
    let images = images(&watched, &records, |at| if at % 4 == 0 { seeds(at) } else { vec![] });
    let tally = check_all("check", &images, &[]);
    tally.conclude("a first life with the agents' own limits");
    tally.refuses_no_orderly_disk();
}

/// A process that is killed leaves to the next one what was never synced: the next one reads it, and
/// must not build on it before it is.
#[test]
fn a_cut_after_a_kill_loses_nothing_that_the_second_life_acknowledged() {
    let home = home();
    let watched = Watched::new(&programs(), home.path(), Tree::default());
    watched.live("first", &["small", "close"], &Ending::default());
    let all = said(&watched.records());
    let mut images_of_all = Vec::new();
    for (after, last) in all.iter().enumerate().map(|(at, said)| (at + 1, said)) {
        // Entries of a leader that was replaced are gone for certain once the next vote is durable.
        let replaced = all[..after].iter().filter(|said| matches!(said, Said::Voted { .. }));
        let interesting = match last {
            Said::Established
            | Said::Opened
            | Said::Voted { .. }
            | Said::Installed { .. }
            | Said::Closed => true,
            Said::Purged { index } => *index == 16,
            Said::Appended { index, .. } => [2, 8, 13, 16, 52].contains(index),
            _ => false,
        };
        if !interesting || replaced.count() == 2 {
            continue;
        }
        let home = crate::support::home();
        let watched = Watched::new(&programs(), home.path(), Tree::default());
        let ending = Ending { after: Some(after), fault: None };
        watched.live("first", &["small", "close"], &ending);
        let first = watched.records().len();
        let status = watched.live("later", &["small"], &Ending::default());
        assert!(status.success(), "after {last:?}: {status:?}");
        let records = watched.records();
        saw_all(&watched, &records);
        images_of_all.extend(images(&watched, &records, |at| match at.checked_sub(first) {
            Some(behind) if behind % 8 == after % 8 => seeds(at),
            // All that was not synced is gone, just when the second life speaks first.
            Some(0) => vec![0],
            _ => vec![],
        }));
    }
    let tally = check_all("check", &images_of_all, &["small"]);
    tally.conclude("a second life after a kill");
    tally.refuses_no_orderly_disk();
}
