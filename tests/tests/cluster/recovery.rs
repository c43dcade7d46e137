//! The loss of a majority, and members that come back after the recovery from it.

use std::path::Path;
use std::time::Duration;

use meridian_domain::{Actor, Command, Epoch, Reason};
use meridian_ports::{Consistency, Proposal, Requester};
use meridian_storage::disk::directory::DataDirectory;
use meridian_storage::disk::epoch::{LocalEpoch, Recovery};
use meridian_storage::fuse::Fuse;
use meridian_storage::open::open;
use meridian_storage::recovery::complete;
use meridian_testkit::cluster::{Cluster, Options};
use meridian_testkit::wait::until;
use tokio::time::Instant;

use crate::support::{accepted, add, change, contoso};

/// Timeout of a request that is expected to fail.
const SHORT: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_majority_that_comes_back_after_a_recovery_acknowledges_nothing() {
    let mut cluster = contoso(Options::default()).await;
    cluster.voters(3).await;
    cluster.converged().await;
    for index in 0..3 {
        cluster.stop(index).await.expect("the node stops");
    }
    recover(cluster.nodes[2].directory()).await;
    cluster.restart(2).await.expect("the node starts");
    until("the recovery to be recorded", || async {
        let state = cluster.nodes[2].ports().read.state();
        (state.header.epoch == Epoch(1)).then_some(())
    })
    .await;

    for index in 0..2 {
        cluster.restart(index).await.expect("the node starts");
    }
    for index in 0..2 {
        until("the old majority to have no quorum", || async {
            let read = &cluster.nodes[index].ports().read;
            let read = read.read(Consistency::Linearizable, Instant::now() + SHORT).await;
            read.is_err().then_some(())
        })
        .await;
    }
    // The leader keeps trying to reach the registered agents, which blocks nothing else.
    let receipt = cluster.propose(2, change("contoso", vec![add("eastus", 1)])).await;
    assert!(accepted(&receipt.expect("the change is decided")));
    for index in 0..2 {
        let (command, requester) = (change("contoso", vec![add("westus", 1)]), Requester::System);
        let proposal = Proposal { command, requester, deadline: Instant::now() + SHORT };
        let proposed = cluster.nodes[index].ports().propose.propose(proposal).await;
        proposed.expect_err("the old majority acknowledges nothing");
    }

    for index in 0..2 {
        let agent = cluster.nodes[index].name().clone();
        cluster.stop(index).await.expect("the node stops");
        let removed = cluster.propose(2, Command::RemoveAgent { agent }).await;
        assert!(accepted(&removed.expect("the change is decided")));
    }
    assert_eq!(members(&cluster).await, 1);
}

async fn members(cluster: &Cluster) -> usize {
    until("the lost agents to leave", || async {
        let members = cluster.nodes[2].ports().cluster.members(Instant::now() + SHORT).await;
        (members.len() == 1).then_some(members.len())
    })
    .await
}

/// Recovers the stopped node in `directory`, as `meridian recover --force-new-cluster` does.
async fn recover(directory: &Path) {
    let directory = DataDirectory::open(directory).expect("is not in use");
    let identity = directory.identity().expect("belongs to a cluster");
    let recovery = Recovery {
        actor: Actor::new("ada@host").expect("is an actor"),
        reason: Reason::new("two disks lost").expect("is a reason"),
        pending: true,
    };
    let pending = LocalEpoch { epoch: Epoch(1), recovery: Some(recovery) };
    directory.store_epoch(&pending).expect("can be stored");
    let stores = open(&directory, identity, &Fuse::default()).expect("can be opened");
    let completed = complete(pending, &stores, identity.node).await.expect("completes");
    directory.store_epoch(&completed).expect("can be stored");
    stores.log.close().await.expect("can be closed");
    stores.store.close().await.expect("can be closed");
}
