//! A node that was down while the entries that it lacks were purged.

use std::time::Duration;

use meridian_domain::Revision;
use meridian_testkit::cluster::Options;
use tokio::time::Instant;

use crate::support::{accepted, change, contoso, set};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_down_past_a_purge_has_every_event() {
    let options = Options { snapshot_after: 50, keep_entries: 0, ..Options::default() };
    let mut cluster = contoso(options).await;
    cluster.voters(3).await;
    cluster.converged().await;
    let leader = cluster.leader().await;
    let down = (leader + 1) % 3;
    cluster.stop(down).await.expect("the node stops");
    for round in 0..200_u16 {
        let command = change("contoso", vec![set("northeurope", round % 7 + 1)]);
        assert!(accepted(&cluster.propose(leader, command).await.expect("the change is decided")));
    }
    for (_, ports) in cluster.running() {
        let deadline = Instant::now() + Duration::from_secs(20);
        ports.cluster.snapshot(deadline).await.expect("the snapshot is built");
    }
    cluster.restart(down).await.expect("the node starts");
    let revision = cluster.converged().await;

    let all = cluster.nodes[leader].ports().history.events(Revision(1), 10_000);
    let theirs = cluster.nodes[down].ports().history.events(Revision(1), 10_000);
    assert_eq!(all.expect("the events can be read"), theirs.expect("the events can be read"));
    assert!(revision.0 >= 200);

    // The node continues from the snapshot, and after another restart from its own disk.
    cluster.stop(down).await.expect("the node stops");
    cluster.restart(down).await.expect("the node starts");
    assert_eq!(cluster.converged().await, revision);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_have_the_same_events_after_a_simultaneous_restart() {
    let mut cluster = contoso(Options::default()).await;
    for round in 0..40_u16 {
        let command = change("contoso", vec![set("northeurope", round % 7 + 1)]);
        assert!(accepted(&cluster.propose(0, command).await.expect("the change is decided")));
    }
    let before = cluster.converged().await;
    let chain = cluster.nodes[0].ports().history.chain();
    for node in 0..3 {
        cluster.stop(node).await.expect("the node stops");
    }
    for node in 0..3 {
        cluster.restart(node).await.expect("the node starts");
    }
    assert_eq!(cluster.converged().await, before);
    assert_eq!(cluster.nodes[2].ports().history.chain(), chain);
}
