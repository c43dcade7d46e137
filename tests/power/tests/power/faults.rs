//! A disk that fails once and then says that all is well: the node stops, and acknowledges nothing
//! that it cannot keep.

use meridian_power::lives::{Ending, STOPPED, Watched, said};
use meridian_power::record::Record;
use meridian_power::said::Said;
use meridian_power::steps::MOST_TOGETHER;
use meridian_power::tree::Tree;

use crate::support::{Image, check_all, home, images, programs};

const EIO: u32 = 5;
const ENOSPC: u32 = 28;

/// How often a call of that kind is made in a whole life, by what the journal has of it.
fn calls(counted: fn(&Record) -> bool) -> usize {
    let home = home();
    let watched = Watched::new(&programs(), home.path(), Tree::default());
    watched.live("first", &["small", "close"], &Ending::default());
    watched.records().iter().filter(|record| counted(record)).count()
}

/// A life in which the call after so many others fails once; the images of a power cut right after
/// it, and what failed. None where the life was over before.
fn life_with(call: &str, left_alone: usize, errno: u32) -> Option<(String, Vec<Image>)> {
    let home = home();
    let watched = Watched::new(&programs(), home.path(), Tree::default());
    let fault = Some(format!("{call} /data {left_alone} {errno} 1"));
    let status = watched.live("first", &["small", "close"], &Ending { after: None, fault });
    let records = watched.records();
    let failed =
        |record: &Record| matches!(record, Record::SyncFailed { .. } | Record::WriteFailed { .. });
    let at = records.iter().position(failed)?;
    if said(&records[..at]).contains(&Said::Closed) {
        // Stores that are dropped sync once more what was durable when they were closed.
        return None;
    }
    let what = describe(&records, at);
    assert_eq!(
        status.code(),
        Some(i32::from(STOPPED)),
        "after {what} failed: {:?}",
        &records[at.saturating_sub(6)..]
    );
    acknowledges_nothing_more(&records, at, &what);
    let places = [at + 1, records.len()];
    let seeds = |place| if places.contains(&place) { vec![0, 1, 2, 3] } else { vec![] };
    Some((what, images(&watched, &records, seeds)))
}

fn describe(records: &[Record], at: usize) -> String {
    let path = match &records[at] {
        Record::WriteFailed { path } => Some(path),
        Record::SyncFailed { sync: failed } => records.iter().find_map(|record| match record {
            Record::SyncBegun { sync, path } if sync == failed => Some(path),
            _ => None,
        }),
        _ => None,
    };
    let path = path.map(|path| String::from_utf8_lossy(path).into_owned()).unwrap_or_default();
    let name = path.split_once("/watched/").map_or("", |(_, name)| name);
    format!("record {at}, of {name},")
}

/// After the failure at most one call of the store that failed is still acknowledged: the one that
/// was done before another thread met the failure. The other stores go on until the node has
/// noticed; what they acknowledge is durable like all else, which the images show.
fn acknowledges_nothing_more(records: &[Record], at: usize, what: &str) {
    let said = said(&records[at..]);
    assert!(matches!(said.last(), Some(Said::Stopped { .. })), "{what} failed: {said:?}");
    let rests_on_it = |said: &&Said| match said {
        Said::Closed => true,
        Said::Built { .. } | Said::Installed { .. } => what.contains("/database"),
        Said::Voted { .. } | Said::Appended { .. } | Said::Truncated { .. } => {
            what.contains("/raft-log")
        }
        _ => false,
    };
    let late: Vec<_> = said.iter().filter(rests_on_it).collect();
    let entries = late.iter().all(|said| matches!(said, Said::Appended { .. }));
    let most = if entries { MOST_TOGETHER } else { 1 };
    assert!(late.len() <= most, "acknowledged after {what} failed: {late:?}");
}

fn every_call_fails_once(call: &str, errno: u32, counted: fn(&Record) -> bool, lives: usize) {
    let calls = calls(counted);
    let step = calls.div_ceil(lives).max(1);
    let mut all = Vec::new();
    let mut failed = 0;
    for left_alone in (0..calls).step_by(step) {
        if let Some((_, images)) = life_with(call, left_alone, errno) {
            failed += 1;
            all.extend(images);
        }
    }
    assert!(failed * 2 > lives, "{failed} of {lives} lives saw their fault");
    let tally = check_all("check", &all, &["small"]);
    tally.conclude(&format!("{failed} lives in which one of {calls} calls of {call} failed once"));
}

#[test]
fn a_sync_that_fails_once_stops_the_node() {
    every_call_fails_once("sync", EIO, |record| matches!(record, Record::SyncBegun { .. }), 24);
}

#[test]
fn a_write_for_which_there_is_no_room_once_stops_the_node() {
    every_call_fails_once("write", ENOSPC, |record| matches!(record, Record::Written { .. }), 16);
}
