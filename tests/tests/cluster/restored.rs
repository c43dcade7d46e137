//! A node whose data directory was replaced by an older copy of itself. The copy is whole, so nothing
//! on its disk says that the node forgot votes and entries; the leader that knows better gives it back
//! what it lacks.

use std::fs;
use std::path::Path;

use meridian_domain::Revision;
use meridian_testkit::cluster::Options;

use crate::support::{accepted, change, contoso, set};

/// Makes the directory `to` what the directory `from` is.
fn copy(from: &Path, to: &Path) {
    drop(fs::remove_dir_all(to));
    fs::create_dir(to).expect("can be created");
    for entry in fs::read_dir(from).expect("can be read") {
        let entry = entry.expect("can be read");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        match from.is_dir() {
            true => copy(&from, &to),
            false => drop(fs::copy(from, to).expect("can be copied")),
        }
    }
}

/// What the changes after the copy was taken are kept as, on the two nodes that were not restored.
async fn restored(options: Options) {
    let mut cluster = contoso(options).await;
    cluster.voters(3).await;
    cluster.agreement().await;
    let leader = cluster.leader().await;
    let (node, third) = ((leader + 1) % 3, (leader + 2) % 3);
    let backup = tempfile::tempdir().expect("there is a place for temporary files");
    let (data, yesterday) =
        (cluster.nodes[node].directory().to_owned(), backup.path().join("yesterday"));
    cluster.stop(node).await.expect("stops");
    copy(&data, &yesterday);
    cluster.restart(node).await.expect("starts");
    for round in 0..60_u16 {
        let command = change("contoso", vec![set("northeurope", round % 7 + 1)]);
        assert!(accepted(&cluster.propose(leader, command).await.expect("is answered")));
    }
    let before = cluster.agreement().await;

    cluster.stop(node).await.expect("stops");
    copy(&yesterday, &data);
    cluster.restart(node).await.expect("starts");
    let after = cluster.agreement().await;
    assert!(after >= before, "acknowledged up to {before}, and all nodes are at {after}");
    assert_eq!(cluster.leader().await, leader, "the leader goes on");
    let events = |index: usize| {
        let history = &cluster.nodes[index].ports().history;
        history.events(Revision(1), 10_000).expect("can be read")
    };
    assert_eq!(events(node), events(leader));

    // It counts again: with it alone, the leader has a majority.
    cluster.stop(third).await.expect("stops");
    let command = change("contoso", vec![set("northeurope", 12)]);
    assert!(accepted(&cluster.propose(leader, command).await.expect("is answered")));
    cluster.restart(third).await.expect("starts");
    cluster.agreement().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_restored_from_an_old_copy_is_given_the_entries_that_it_forgot() {
    restored(Options::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_restored_from_before_a_purge_is_given_a_snapshot() {
    restored(Options { snapshot_after: 20, keep_entries: 0, ..Options::default() }).await;
}
