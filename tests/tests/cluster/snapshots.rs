//! A node that was away past a purge.

use std::time::Duration;

use meridian_domain::Revision;
use meridian_testkit::cluster::Options;
use tokio::time::Instant;

use crate::support::{accepted, change, contoso, set};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_away_past_a_purge_has_every_event() {
    let options = Options { snapshot_after: 50, keep_entries: 0, ..Options::default() };
    let mut cluster = contoso(options).await;
    cluster.voters(3).await;
    cluster.agreement().await;
    let leader = cluster.leader().await;
    let away = (leader + 1) % 3;
    cluster.stop(away).await.expect("stops");
    for round in 0..200_u16 {
        let command = change("contoso", vec![set("northeurope", round % 7 + 1)]);
        assert!(accepted(&cluster.propose(leader, command).await.expect("is answered")));
    }
    for (_, ports) in cluster.running() {
        let deadline = Instant::now() + Duration::from_secs(20);
        ports.cluster.snapshot(deadline).await.expect("is built");
    }
    cluster.restart(away).await.expect("starts");
    let revision = cluster.agreement().await;

    let all = cluster.nodes[leader].ports().history.events(Revision(1), 10_000);
    let theirs = cluster.nodes[away].ports().history.events(Revision(1), 10_000);
    assert_eq!(all.expect("can be read"), theirs.expect("can be read"));
    assert!(revision.0 >= 200);

    // The node goes on from there, and again from its own disk.
    cluster.stop(away).await.expect("stops");
    cluster.restart(away).await.expect("starts");
    assert_eq!(cluster.agreement().await, revision);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_stopped_at_once_have_the_same_events_afterwards() {
    let mut cluster = contoso(Options::default()).await;
    for round in 0..40_u16 {
        let command = change("contoso", vec![set("northeurope", round % 7 + 1)]);
        assert!(accepted(&cluster.propose(0, command).await.expect("is answered")));
    }
    let before = cluster.agreement().await;
    let chain = cluster.nodes[0].ports().history.chain();
    for node in 0..3 {
        cluster.stop(node).await.expect("stops");
    }
    for node in 0..3 {
        cluster.restart(node).await.expect("starts");
    }
    assert_eq!(cluster.agreement().await, before);
    assert_eq!(cluster.nodes[2].ports().history.chain(), chain);
}
