//! Memory of the derived store's database under load.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

use std::sync::{Mutex, PoisonError};

use meridian_storage::disk::database::{Batch, COMBINED_VALUE_BYTES, Database as _};
use meridian_storage::disk::sled_database::SledDatabase;
use meridian_storage::fuse::Fuse;
use mimalloc::MiMalloc;

/// The allocator of the agents.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Maximum growth: that of the caches.
const MAX_GROWTH_MIB: u64 = 120;

/// Batches of a thousand small rows. Without collection, they hold more than 400 MiB.
#[test]
fn replaced_pages_are_freed() {
    let growth = growth_mib(60, |batch, number| {
        for row in number * 1_000..(number + 1) * 1_000 {
            batch.insert([&b"o"[..], &row.to_be_bytes()].concat(), vec![7; 300]);
            batch.insert([&b"p"[..], &row.to_be_bytes()].concat(), vec![7; 300]);
        }
    });
    assert!(growth < MAX_GROWTH_MIB, "{growth} MiB");
}

/// 200 MiB of combined values, in batches as under load, and 64 rows that each batch changes. With values
/// of 16 KiB, they hold more than 150 MiB.
#[test]
fn combined_values_leave_the_cache() {
    let values = (200 << 10) / COMBINED_VALUE_BYTES as u64;
    let growth = growth_mib(1_000, |batch, number| {
        for value in number * values..(number + 1) * values {
            batch.insert([&b"e"[..], &value.to_be_bytes()].concat(), vec![7; COMBINED_VALUE_BYTES]);
        }
        for service in 0..64_u64 {
            batch.insert([&b"s"[..], &service.to_be_bytes()].concat(), number.to_be_bytes());
        }
    });
    assert!(growth < MAX_GROWTH_MIB, "{growth} MiB");
}

/// Returns the growth of the memory while batches are written, in a process with one test at a time.
fn growth_mib(batches: u64, fill: impl Fn(&mut Batch, u64)) -> u64 {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = tempfile::tempdir().unwrap();
    let database = SledDatabase::open(&directory.path().join("database"), Fuse::default()).unwrap();
    let before = anonymous_mib();
    for number in 0..batches {
        let mut batch = Batch::default();
        fill(&mut batch, number);
        database.write(batch).unwrap();
    }
    database.sync().unwrap();
    anonymous_mib().saturating_sub(before)
}

fn anonymous_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1_024
}
