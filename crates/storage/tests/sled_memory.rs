//! Memory of the derived store's database under large batches, in a process of its own.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

use meridian_storage::disk::database::{Batch, Database as _};
use meridian_storage::disk::sled_database::SledDatabase;
use meridian_storage::fuse::Fuse;

/// Size of the rows, as those of events, and number of rows in a batch under load.
const ROW_BYTES: usize = 300;
const ROWS: u64 = 1_000;
const BATCHES: u64 = 60;
/// Maximum growth: that of the caches. Without collection, it is more than 300 MiB.
const MAX_GROWTH_MIB: u64 = 100;

#[test]
fn large_batches_hold_no_replaced_pages() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("database");
    let database = SledDatabase::open(&path, Fuse::default()).unwrap();
    let before = anonymous_mib();
    for number in 0..BATCHES {
        let mut batch = Batch::default();
        for row in number * ROWS..(number + 1) * ROWS {
            for family in [b'e', b'o'] {
                let key = [&[family][..], &row.to_be_bytes()].concat();
                batch.insert(key, vec![7; ROW_BYTES]);
            }
        }
        database.write(batch).unwrap();
    }
    database.sync().unwrap();
    let growth = anonymous_mib().saturating_sub(before);
    assert!(growth < MAX_GROWTH_MIB, "{growth} MiB");
}

fn anonymous_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1_024
}
