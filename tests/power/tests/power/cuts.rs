//! The power is cut while the stores work.

use meridian_power::disk::Disk;
use meridian_power::lives::{Ending, Watched};
use meridian_power::tree::Tree;

use crate::support::{check_all, home, images, programs};

/// Images at each place of a journal.
fn seeds() -> u64 {
    std::env::var("MERIDIAN_POWER_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(1)
}

#[test]
fn a_cut_at_any_step_of_a_first_life_loses_nothing_acknowledged() {
    let home = home();
    let watched = Watched::new(&programs(), home.path(), Tree::default());
    let status = watched.live("first", &["small", "patient", "close"], &Ending::default());
    assert!(status.success(), "{status:?}");
    let records = watched.records();

    let mut disk = Disk::new(&watched.directory(), watched.base());
    records.iter().for_each(|record| disk.apply(record));
    let real = Tree::read(&watched.directory()).expect("it can be read");
    assert!(disk.live() == real, "the shim saw all that the process did");

    let seeds = seeds();
    let images = images(&watched, &records, |at| {
        let at = at as u64;
        (at * 7..at * 7 + seeds).collect()
    });
    let tally = check_all("check", &images, &["small"]);
    tally.conclude("a first life");
}
