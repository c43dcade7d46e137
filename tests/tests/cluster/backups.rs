//! A node whose data directory was replaced by an older copy of itself. The copy is consistent, so
//! the node cannot detect that it lost votes and entries; the leader sends it what it lacks.

use std::fs;
use std::path::Path;

use meridian_domain::Revision;
use meridian_testkit::cluster::Options;

use crate::support::{accepted, change, contoso, set};

/// Replaces the directory `to` with a copy of `from`.
fn copy(from: &Path, to: &Path) {
    drop(fs::remove_dir_all(to));
    fs::create_dir(to).expect("the directory is created");
    for entry in fs::read_dir(from).expect("the directory is readable") {
        let entry = entry.expect("the entry is readable");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        match from.is_dir() {
            true => copy(&from, &to),
            false => drop(fs::copy(from, to).expect("the file is copied")),
        }
    }
}

/// Verifies that no acknowledged change is lost when one of three nodes is restored from a copy.
async fn restore_and_verify(options: Options) {
    let mut cluster = contoso(options).await;
    cluster.voters(3).await;
    cluster.converged().await;
    let leader = cluster.leader().await;
    let (node, third) = ((leader + 1) % 3, (leader + 2) % 3);
    let backup = tempfile::tempdir().expect("a temporary directory");
    let (data, copied) = (cluster.nodes[node].directory().to_owned(), backup.path().join("copied"));
    cluster.stop(node).await.expect("the node stops");
    copy(&data, &copied);
    cluster.restart(node).await.expect("the node starts");
    for round in 0..60_u16 {
        let command = change("contoso", vec![set("northeurope", round % 7 + 1)]);
        assert!(accepted(&cluster.propose(leader, command).await.expect("the change is decided")));
    }
    let before = cluster.converged().await;

    cluster.stop(node).await.expect("the node stops");
    copy(&copied, &data);
    cluster.restart(node).await.expect("the node starts");
    let after = cluster.converged().await;
    assert!(after >= before, "acknowledged up to revision {before}, but the nodes are at {after}");
    assert_eq!(cluster.leader().await, leader, "the leader has not changed");
    let events = |index: usize| {
        let history = &cluster.nodes[index].ports().history;
        history.events(Revision(1), 10_000).expect("the events can be read")
    };
    assert_eq!(events(node), events(leader));

    // The restored node counts again: with it alone, the leader has a quorum.
    cluster.stop(third).await.expect("the node stops");
    let command = change("contoso", vec![set("northeurope", 12)]);
    assert!(accepted(&cluster.propose(leader, command).await.expect("the change is decided")));
    cluster.restart(third).await.expect("the node starts");
    cluster.converged().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_restored_from_an_old_copy_receives_the_lost_entries() {
    restore_and_verify(Options::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_restored_from_before_a_purge_receives_a_snapshot() {
    restore_and_verify(Options { snapshot_after: 20, keep_entries: 0, ..Options::default() }).await;
}
