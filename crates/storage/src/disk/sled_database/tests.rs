//! Tests of the derived store on sled.

use std::time::{Duration, Instant};

use super::*;

fn batch(changes: &[(&str, Option<&[u8]>)]) -> Batch {
    let mut batch = Batch::default();
    for (key, value) in changes {
        match value {
            Some(value) => batch.insert(*key, *value),
            None => batch.remove(*key),
        }
    }
    batch
}

/// Opens a database again. Under load, sled's threads release its lock only a while after a
/// drop.
fn reopen(path: &Path) -> SledDatabase {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match SledDatabase::open(path, Fuse::default()) {
            Err(OpenError::Sled { cause, .. })
                if cause.contains("acquire lock") && Instant::now() < deadline =>
            {
                std::thread::sleep(Duration::from_millis(10));
            }
            opened => return opened.expect("is intact"),
        }
    }
}

fn keys(database: &SledDatabase, from: &str, to: &str, limit: usize) -> Vec<String> {
    let rows = database.scan(from.as_bytes(), to.as_bytes(), limit).expect("can be read");
    rows.into_iter().map(|(key, _)| String::from_utf8(key).expect("is text")).collect()
}

#[test]
fn synced_writes_survive_a_reopen() {
    let parent = tempfile::tempdir().expect("can create a directory");
    let path = parent.path().join("database");
    let database = SledDatabase::open(&path, Fuse::default()).expect("is new");
    let rows: [(&str, Option<&[u8]>); 3] = [("a", Some(b"1")), ("b", Some(b"2")), ("c", None)];
    database.write(batch(&rows)).expect("can be written");
    database.write(batch(&[("a", None), ("c", Some(b"3"))])).expect("can be written");
    database.sync().expect("can be synced");
    drop(database);

    let database = reopen(&path);
    assert_eq!(database.get(b"a").expect("can be read"), None);
    assert_eq!(database.get(b"b").expect("can be read"), Some(b"2".to_vec()));
    assert_eq!(keys(&database, "a", "z", 10), ["b", "c"]);
    assert_eq!(keys(&database, "a", "z", 1), ["b"]);
    assert_eq!(keys(&database, "a", "c", 10), ["b"]);
    assert_eq!(keys(&database, "z", "a", 10), [""; 0]);
}

#[test]
fn an_oversized_value_stops_the_node() {
    let parent = tempfile::tempdir().expect("can create a directory");
    let fuse = Fuse::default();
    let database = SledDatabase::open(parent.path(), fuse.clone()).expect("is new");
    let largest = vec![0; MAX_VALUE_BYTES];
    database.write(batch(&[("a", Some(&largest))])).expect("is not too large");
    let oversized = vec![0; MAX_VALUE_BYTES + 1];
    database.write(batch(&[("a", Some(&oversized))])).expect_err("is too large");
    assert!(fuse.cause().expect("has blown").contains("65537 bytes"));
    database.get(b"a").expect_err("the node has stopped");
}

#[test]
fn an_interrupted_creation_starts_over() {
    let parent = tempfile::tempdir().expect("can create a directory");
    let path = parent.path().join("database");
    let creation = path.with_extension("new");
    std::fs::write(&creation, b"").expect("can be written");
    std::fs::create_dir(&path).expect("is new");
    std::fs::write(path.join("conf"), b"").expect("can be written");
    let database = SledDatabase::open(&path, Fuse::default()).expect("is created again");
    database.write(batch(&[("a", Some(b"1"))])).expect("can be written");
    database.sync().expect("can be synced");
    assert!(!creation.exists());
    drop(database);
    let database = reopen(&path);
    assert_eq!(database.get(b"a").expect("can be read"), Some(b"1".to_vec()));
}

#[test]
fn a_partial_index_is_removed_without_loss() {
    let parent = tempfile::tempdir().expect("can create a directory");
    let database = SledDatabase::open(parent.path(), Fuse::default()).expect("is new");
    database.write(batch(&[("a", Some(b"1"))])).expect("can be written");
    database.sync().expect("can be synced");
    drop(database);
    let partial = parent.path().join("snap.00000000FFFFFFFF.generating");
    std::fs::write(&partial, b"partial").expect("can be written");
    let database = reopen(parent.path());
    assert_eq!(database.get(b"a").expect("can be read"), Some(b"1".to_vec()));
    assert!(!partial.exists());
}

#[test]
fn the_error_names_a_directory_that_sled_cannot_open() {
    let parent = tempfile::tempdir().expect("can create a directory");
    std::fs::write(parent.path().join("conf"), b"no configuration").expect("can be written");
    let Err(error) = SledDatabase::open(parent.path(), Fuse::default()) else {
        panic!("a damaged database was opened");
    };
    let error = error.to_string();
    assert!(error.contains(&parent.path().display().to_string()), "{error}");
    assert!(error.contains("join as a new node"), "{error}");
}
