//! Directories that differ from what was written: damaged, incomplete, mixed or outdated.

use std::path::{Path, PathBuf};

use meridian_power::check::Verdict;
use meridian_power::expected::Expected;
use meridian_power::progress::Progress;
use meridian_power::tree::{Node, Tree};

use crate::support::{home, programs};

/// The result of a process run that closed its stores, without the shim.
struct Closed {
    tree: Tree,
    expected: Expected,
}

fn run(before: Option<&Closed>, task: &str) -> Closed {
    let home = home();
    if let Some(before) = before {
        before.tree.write(home.path()).expect("the directory is written");
    }
    let data = home.path().join("data");
    let mut command = programs().power(&[task]);
    let output =
        command.arg(&data).args(["small", "close"]).output().expect("the program can be run");
    assert!(output.status.success(), "{output:?}");
    let mut expected = before.map(|before| before.expected.clone()).unwrap_or_default();
    Progress::parse(&output.stdout).iter().for_each(|step| expected.add(step));
    Closed { tree: Tree::read(home.path()).expect("the directory is readable"), expected }
}

/// Checks a directory in a new process. A rejection must name a file in it, or the directory.
fn verdict(tree: &Tree, expected: &Expected) -> Verdict {
    let home = home();
    tree.write(home.path()).expect("the directory is written");
    let data = home.path().join("data");
    let verdict = programs().check("check", &data, expected, &["small"]);
    match verdict {
        Verdict::Rejected { error } => {
            let data = data.to_string_lossy().into_owned();
            assert!(error.contains(&data), "the error does not name the damaged path: {error}");
            assert!(
                error.contains("as a new node"),
                "the error does not give the next step: {error}"
            );
            Verdict::Rejected { error: error.replace(&data, "DATA") }
        }
        other => other,
    }
}

/// Fails if acknowledged data was lost silently.
fn assert_not_lost(what: &str, verdict: &Verdict) {
    assert!(!matches!(verdict, Verdict::Lost { .. }), "{what}: {verdict:?}");
    println!("{what}: {verdict:?}");
}

/// Returns offsets of the bytes in which a bit is flipped, between the first and the last non-zero
/// byte.
fn offsets(bytes: &[u8]) -> Vec<usize> {
    let last = bytes.iter().rposition(|byte| *byte != 0);
    let Some(last) = last else { return vec![] };
    let mut offsets = vec![0, last / 5, last / 2, last * 3 / 4, last];
    offsets.dedup();
    offsets
}

#[test]
fn a_flipped_bit_in_any_file_is_detected_or_harmless() {
    let closed = run(None, "first");
    for (path, bytes) in closed.tree.files() {
        for offset in offsets(bytes) {
            let mut tree = closed.tree.clone();
            let mut bytes = bytes.clone();
            bytes[offset] ^= 0x10;
            tree.insert(path.clone(), Node::File(bytes));
            let what = format!("bit flipped in byte {offset} of {}", path.display());
            assert_not_lost(&what, &verdict(&tree, &closed.expected));
        }
    }
}

#[test]
fn a_missing_file_or_directory_is_detected_or_harmless() {
    let closed = run(None, "first");
    let names: Vec<PathBuf> = closed.tree.iter().map(|(path, _)| path.clone()).collect();
    for name in names.iter().filter(|name| *name != Path::new("data")) {
        let mut tree = closed.tree.clone();
        tree.remove(name);
        let verdict = verdict(&tree, &closed.expected);
        let what = format!("{} missing", name.display());
        assert_not_lost(&what, &verdict);
    }
}

/// Returns the tree with the given paths replaced by those of an older tree.
fn with_older(tree: &Tree, older: &Tree, paths: &[&Path]) -> Tree {
    let mut mixed = tree.clone();
    paths.iter().for_each(|path| mixed.remove(path));
    for (name, node) in older.iter() {
        if paths.iter().any(|path| name.starts_with(path)) {
            mixed.insert(name.clone(), node.clone());
        }
    }
    mixed
}

#[test]
fn a_part_of_an_older_copy_is_detected_or_harmless() {
    let old = run(None, "first");
    let new = run(Some(&old), "later");
    let names = old.tree.iter().map(|(path, _)| path.as_path());
    let mut parts: Vec<Vec<&Path>> =
        names.filter(|name| *name != Path::new("data")).map(|name| vec![name]).collect();
    let [log, mark, database] = ["data/raft-log", "data/mark", "data/database"].map(Path::new);
    parts.extend([vec![log, mark], vec![log, database], vec![mark, database]]);
    // Rows may be outdated: they are derived from entries that are in the log.
    let expected = Expected { applied: None, ..new.expected.clone() };
    for part in parts {
        let tree = with_older(&new.tree, &old.tree, &part);
        assert_not_lost(&format!("outdated {part:?}"), &verdict(&tree, &expected));
    }
}

/// A node alone cannot detect an outdated copy: the documentation of the storage says so, and
/// forbids operators to restore a data directory. If this becomes detectable, this test fails and
/// the documentation must be changed.
#[test]
fn a_complete_older_copy_is_accepted() {
    let old = run(None, "first");
    let new = run(Some(&old), "later");
    let by_old = verdict(&old.tree, &old.expected);
    assert!(matches!(by_old, Verdict::Intact { .. }), "{by_old:?}");
    let by_new = verdict(&old.tree, &new.expected);
    assert!(matches!(by_new, Verdict::Lost { .. }), "{by_new:?}");
}
