//! A disk that fails once and then works again: the node stops, and acknowledges nothing that is
//! not durable.

use meridian_power::process_run::{RunFaults, STOPPED, Watched, progress};
use meridian_power::progress::Progress;
use meridian_power::record::Record;
use meridian_power::steps::MAX_BATCH;
use meridian_power::tree::Tree;

use crate::support::{Image, check_all, home, images, programs};

const EIO: u32 = 5;
const ENOSPC: u32 = 28;

/// Returns the number of matching records in the journal of a complete process run.
fn count_operations(counted: fn(&Record) -> bool) -> usize {
    let home = home();
    let watched = Watched::new(&programs(), home.path(), Tree::default());
    watched.run("first", &["small", "close"], &RunFaults::default());
    watched.records().iter().filter(|record| counted(record)).count()
}

/// Runs a process in which one operation fails after `skip` successful ones. Returns the failed
/// operation and the images of power cuts right after it, or `None` if the process finished before.
fn run_with_fault(operation: &str, skip: usize, errno: u32) -> Option<(String, Vec<Image>)> {
    let home = home();
    let watched = Watched::new(&programs(), home.path(), Tree::default());
    let fault = Some(format!("{operation} /data {skip} {errno} 1"));
    let status = watched.run("first", &["small", "close"], &RunFaults { kill_after: None, fault });
    let records = watched.records();
    let failed =
        |record: &Record| matches!(record, Record::SyncFailed { .. } | Record::WriteFailed { .. });
    let at = records.iter().position(failed)?;
    if progress(&records[..at]).contains(&Progress::Closed) {
        // When dropped, the stores sync once more what was already durable after closing.
        return None;
    }
    let what = describe(&records, at);
    assert_eq!(
        status.code(),
        Some(i32::from(STOPPED)),
        "after {what} failed: {:?}",
        &records[at.saturating_sub(6)..]
    );
    assert_no_acknowledgement(&records, at, &what);
    let cuts = [at + 1, records.len()];
    let seeds = |at| if cuts.contains(&at) { vec![0, 1, 2, 3] } else { vec![] };
    Some((what, images(&watched, &records, seeds)))
}

fn describe(records: &[Record], at: usize) -> String {
    let path = match &records[at] {
        Record::WriteFailed { path } => Some(path),
        Record::SyncFailed { sync: failed } => records.iter().find_map(|record| match record {
            Record::SyncStarted { sync, path } if sync == failed => Some(path),
            _ => None,
        }),
        _ => None,
    };
    let path = path.map(|path| String::from_utf8_lossy(path).into_owned()).unwrap_or_default();
    let name = path.split_once("/watched/").map_or("", |(_, name)| name);
    format!("record {at} ({name})")
}

/// Verifies the progress after a failure. The failed store may acknowledge at most one more
/// operation, which completed before another thread noticed the failure. The other stores continue
/// until the node notices; their acknowledgements are durable, which the images verify.
fn assert_no_acknowledgement(records: &[Record], at: usize, what: &str) {
    let progress = progress(&records[at..]);
    assert!(
        matches!(progress.last(), Some(Progress::Stopped { .. })),
        "{what} failed: {progress:?}"
    );
    let of_failed_store = |step: &&Progress| match step {
        Progress::Closed => true,
        Progress::Built { .. } | Progress::Installed { .. } => what.contains("/database"),
        Progress::Voted { .. } | Progress::Appended { .. } | Progress::Truncated { .. } => {
            what.contains("/raft-log")
        }
        _ => false,
    };
    let late: Vec<_> = progress.iter().filter(of_failed_store).collect();
    let entries = late.iter().all(|step| matches!(step, Progress::Appended { .. }));
    let limit = if entries { MAX_BATCH } else { 1 };
    assert!(late.len() <= limit, "acknowledged after {what} failed: {late:?}");
}

fn each_operation_fails_once(
    operation: &str,
    errno: u32,
    counted: fn(&Record) -> bool,
    runs: usize,
) {
    let count = count_operations(counted);
    let step = count.div_ceil(runs).max(1);
    let mut all = Vec::new();
    let mut failed = 0;
    for skip in (0..count).step_by(step) {
        if let Some((_, images)) = run_with_fault(operation, skip, errno) {
            failed += 1;
            all.extend(images);
        }
    }
    assert!(failed * 2 > runs, "only {failed} of {runs} runs reached their fault");
    let tally = check_all("check", &all, &["small"]);
    tally.assert_nothing_lost(&format!(
        "{failed} runs with one failure among {count} operations ({operation})"
    ));
}

#[test]
fn a_sync_that_fails_once_stops_the_node() {
    each_operation_fails_once(
        "sync",
        EIO,
        |record| matches!(record, Record::SyncStarted { .. }),
        24,
    );
}

#[test]
fn a_write_that_fails_once_for_lack_of_space_stops_the_node() {
    each_operation_fails_once(
        "write",
        ENOSPC,
        |record| matches!(record, Record::Written { .. }),
        16,
    );
}
