//! Nodes whose disks hang instead of failing.

use std::time::Duration;

use meridian_domain::NodeId;
use meridian_ports::{Leadership, ProposeError};
use meridian_replication::disk_watch::STALL_AFTER;
use meridian_replication::timing::Profile;
use meridian_testkit::cluster::{Cluster, Options};
use meridian_testkit::wait::until;
use tokio::time::Instant;

use crate::support::{accepted, change, contoso, set};

/// Returns the leader that the other nodes follow.
fn followed(cluster: &Cluster, except: usize) -> Option<NodeId> {
    let others = cluster.running().into_iter().filter(|(index, _)| *index != except);
    let mut known = others.map(|(_, ports)| ports.leadership.borrow().leader());
    let leader = known.next()??;
    (leader != cluster.nodes[except].ports().cluster.node()
        && known.all(|other| other == Some(leader)))
    .then_some(leader)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_disk_hangs_is_replaced_and_takes_part_again_afterwards() {
    let cluster = contoso(Options::default()).await;
    cluster.voters(3).await;
    let hanging = cluster.leader().await;
    let other = (hanging + 1) % 3;
    let node = &cluster.nodes[hanging];
    node.sync_hold().hold();
    // Committed with the syncs of the others. A change in flight at the leader has no outcome.
    let scale = |units| change("contoso", vec![set("westeurope", units)]);
    let _ = cluster.propose(hanging, scale(2)).await;
    until("a sync to hang", || async { node.sync_hold().is_holding().then_some(()) }).await;
    let hangs_since = Instant::now();
    let cause = until("the node to be suspended", || async { node.suspension().cause() }).await;
    let suspended = Instant::now();
    assert!(cause.contains("the disk does not respond"), "{cause}");
    let leads_no_more =
        || async { (*node.ports().leadership.borrow() == Leadership::Unknown).then_some(()) };
    until("it to lead no more", leads_no_more).await;

    until("another leader", || async { followed(&cluster, hanging) }).await;
    let timing = Profile::Lan.timing();
    let (detected, elected) = (suspended - hangs_since, suspended.elapsed());
    assert!(detected < STALL_AFTER + Duration::from_secs(2), "{detected:?}");
    // Three election timeouts, and slack for a busy machine.
    assert!(elected < 3 * timing.election_max + Duration::from_secs(2), "{elected:?}");
    assert!(accepted(&cluster.propose(other, scale(3)).await.expect("the change is decided")));

    // It neither takes part nor claims that a change was rejected.
    let refused = cluster.propose(hanging, scale(4)).await.expect_err("the node is suspended");
    assert!(matches!(refused, ProposeError::NoLeader { .. }), "{refused}");
    assert!(node.suspension().is_active());
    assert!(followed(&cluster, hanging).is_some());

    node.sync_hold().release();
    until("the node to take part", || async { (!node.suspension().is_active()).then_some(()) })
        .await;
    cluster.leader().await;
    assert!(accepted(&cluster.propose(hanging, scale(5)).await.expect("the change is decided")));
    cluster.converged().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_whose_disk_hangs_does_not_stop_changes() {
    let cluster = contoso(Options::default()).await;
    cluster.voters(3).await;
    let leader = cluster.leader().await;
    let node = &cluster.nodes[(leader + 1) % 3];
    node.sync_hold().hold();
    let mut units = (1..=12).cycle();
    // The hanging disk needs something to sync.
    while !node.suspension().is_active() {
        let scaled = change("contoso", vec![set("westeurope", units.next().expect("is endless"))]);
        assert!(accepted(&cluster.propose(leader, scaled).await.expect("the change is decided")));
    }
    assert_eq!(
        cluster.nodes[leader].ports().leadership.borrow().leader(),
        followed(&cluster, (leader + 1) % 3)
    );
    node.sync_hold().release();
    cluster.converged().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_takes_a_second_for_a_sync_suspends_nothing() {
    let cluster = contoso(Options::default()).await;
    cluster.voters(3).await;
    let leader = cluster.leader().await;
    let node = &cluster.nodes[leader];
    for units in 2..6 {
        node.sync_hold().hold();
        let released = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            node.sync_hold().release();
        };
        let scaled = change("contoso", vec![set("westeurope", units)]);
        let (decided, ()) = tokio::join!(cluster.propose(leader, scaled), released);
        assert!(accepted(&decided.expect("the change is decided")));
        assert!(!node.suspension().is_active());
    }
    assert_eq!(cluster.leader().await, leader, "leadership has not moved");
}
