//! Directories that are not what was written: damaged, incomplete, mixed, or old.

use std::path::{Path, PathBuf};

use meridian_power::check::Verdict;
use meridian_power::expected::Expected;
use meridian_power::said::Said;
use meridian_power::tree::{Node, Tree};

use crate::support::{home, programs};

/// What a life leaves that was closed in order, without a shim.
struct Left {
    tree: Tree,
    expected: Expected,
}

fn left_by(before: Option<&Left>, life: &str) -> Left {
    let home = home();
    if let Some(before) = before {
        before.tree.write(home.path()).expect("it can be written");
    }
    let data = home.path().join("data");
    let mut command = programs().power(&[life]);
    let output = command.arg(&data).args(["small", "close"]).output().expect("it is there");
    assert!(output.status.success(), "{output:?}");
    let mut expected = before.map(|before| before.expected.clone()).unwrap_or_default();
    Said::parse(&output.stdout).iter().for_each(|said| expected.note(said));
    Left { tree: Tree::read(home.path()).expect("it can be read"), expected }
}

/// What comes of a directory, in a fresh process. A refusal names a file of it, or the folder.
fn verdict(tree: &Tree, expected: &Expected) -> Verdict {
    let home = home();
    tree.write(home.path()).expect("it can be written");
    let data = home.path().join("data");
    let verdict = programs().check("check", &data, expected, &["small"]);
    match verdict {
        Verdict::Refused { error } => {
            let data = data.to_string_lossy().into_owned();
            assert!(error.contains(&data), "a refusal names what is at fault: {error}");
            assert!(error.contains("as a new node"), "a refusal says what to do: {error}");
            Verdict::Refused { error: error.replace(&data, "DATA") }
        }
        other => other,
    }
}

/// Fails where something acknowledged was lost in silence.
fn never_silent(what: &str, verdict: &Verdict) {
    assert!(!matches!(verdict, Verdict::Lost { .. }), "{what}: {verdict:?}");
    println!("{what}: {verdict:?}");
}

/// Bytes of a file in which a bit is flipped: the middle and the end of what is in it, and others.
fn places(bytes: &[u8]) -> Vec<usize> {
    let last = bytes.iter().rposition(|byte| *byte != 0);
    let Some(last) = last else { return vec![] };
    let mut places = vec![0, last / 5, last / 2, last * 3 / 4, last];
    places.dedup();
    places
}

#[test]
fn a_flipped_bit_in_any_file_is_named_or_harmless() {
    let left = left_by(None, "first");
    for (path, bytes) in left.tree.files() {
        for place in places(bytes) {
            let mut tree = left.tree.clone();
            let mut bytes = bytes.clone();
            bytes[place] ^= 0x10;
            tree.insert(path.clone(), Node::File(bytes));
            let what = format!("a bit of byte {place} of {} flipped", path.display());
            never_silent(&what, &verdict(&tree, &left.expected));
        }
    }
}

#[test]
fn a_missing_file_or_folder_is_named_or_harmless() {
    let left = left_by(None, "first");
    let names: Vec<PathBuf> = left.tree.iter().map(|(path, _)| path.clone()).collect();
    for name in names.iter().filter(|name| *name != Path::new("data")) {
        let mut tree = left.tree.clone();
        tree.remove(name);
        let verdict = verdict(&tree, &left.expected);
        let what = format!("{} missing", name.display());
        never_silent(&what, &verdict);
    }
}

/// The tree with what is at these paths as it was in another one.
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
fn a_part_of_an_older_copy_is_named_or_harmless() {
    let yesterday = left_by(None, "first");
    let today = left_by(Some(&yesterday), "later");
    let names = yesterday.tree.iter().map(|(path, _)| path.as_path());
    let mut parts: Vec<Vec<&Path>> =
        names.filter(|name| *name != Path::new("data")).map(|name| vec![name]).collect();
    let [log, mark, database] = ["data/raft-log", "data/mark", "data/database"].map(Path::new);
    parts.extend([vec![log, mark], vec![log, database], vec![mark, database]]);
    // Rows may be older: they are derived, and the log has the entries that they come from.
    let expected = Expected { applied: None, ..today.expected.clone() };
    for part in parts {
        let tree = with_older(&today.tree, &yesterday.tree, &part);
        never_silent(&format!("{part:?} of yesterday"), &verdict(&tree, &expected));
    }
}

/// This is what a node alone cannot notice: the documentation of the storage says so, and tells
/// operators never to restore a data directory. Where it is noticed one day, this fails, and the
/// documentation is to be changed with it.
#[test]
fn an_older_copy_of_all_is_whole_in_itself() {
    let yesterday = left_by(None, "first");
    let today = left_by(Some(&yesterday), "later");
    let then = verdict(&yesterday.tree, &yesterday.expected);
    assert!(matches!(then, Verdict::Whole { .. }), "{then:?}");
    let now = verdict(&yesterday.tree, &today.expected);
    assert!(matches!(now, Verdict::Lost { .. }), "{now:?}");
}
