//! Agents that restart with another peer address.

use std::time::Duration;

use meridian_domain::agent::Address;
use meridian_ports::LastContact;
use meridian_testkit::cluster::{Cluster, Options};
use meridian_testkit::wait::until;
use tokio::time::Instant;

use crate::support::{accepted, add, change, contoso};

/// Waits until node `at` has the current address of node `moved` in its log.
async fn recorded(cluster: &Cluster, at: usize, moved: usize) {
    let node = cluster.nodes[moved].ports().cluster.node();
    until("the new address to be in the log", || async {
        let state = cluster.nodes[at].ports().read.state();
        let agent = state.agents.values().find(|agent| agent.description.node == node)?;
        let address: Address = agent.description.peer_address.clone();
        (address == *cluster.nodes[moved].peer_address()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_voter_completes_the_quorum_although_the_leader_knows_its_old_address() {
    let mut cluster = contoso(Options::default()).await;
    cluster.voters(3).await;
    let leader = cluster.leader().await;
    let (moved, third) = ((leader + 1) % 3, (leader + 2) % 3);
    cluster.stop(moved).await.expect("the node stops");
    // The moved voter lacks this entry, so it can apply no read index before it is replicated.
    let receipt = cluster.propose(leader, change("contoso", vec![add("eastus", 1)])).await;
    assert!(accepted(&receipt.expect("the change is decided")));
    cluster.stop(third).await.expect("the node stops");
    cluster.restart_elsewhere(moved).await.expect("the node starts");

    let receipt = cluster.propose(moved, change("contoso", vec![add("westus", 1)])).await;
    assert!(accepted(&receipt.expect("two of three voters are a quorum")));
    cluster.converged().await;
    recorded(&cluster, leader, moved).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minority_that_moved_at_once_is_found() {
    let regions = ["westeurope", "eastus", "southeastasia", "japaneast", "brazilsouth"];
    let bootstrapped = Cluster::bootstrap(&regions, Options::default()).await;
    let mut cluster = bootstrapped.expect("the cluster is bootstrapped");
    cluster.voters(5).await;
    let leader = cluster.leader().await;
    let moved = [(leader + 1) % 5, (leader + 2) % 5];
    for node in moved {
        cluster.stop(node).await.expect("the node stops");
    }
    for node in moved {
        cluster.restart_elsewhere(node).await.expect("the node starts");
    }
    for node in moved {
        recorded(&cluster, leader, node).await;
    }
    // The quorum needs both.
    for node in [(leader + 3) % 5, (leader + 4) % 5] {
        cluster.stop(node).await.expect("the node stops");
    }
    let created = cluster.propose(moved[0], crate::support::create("contoso")).await;
    assert!(accepted(&created.expect("three of five voters are a quorum")));
    cluster.converged().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_leader_is_found() {
    let mut cluster = contoso(Options::default()).await;
    cluster.voters(3).await;
    let leader = cluster.leader().await;
    cluster.stop(leader).await.expect("the node stops");
    let receipt =
        cluster.propose((leader + 1) % 3, change("contoso", vec![add("eastus", 1)])).await;
    assert!(accepted(&receipt.expect("the change is decided")));
    cluster.restart_elsewhere(leader).await.expect("the node starts");
    for at in 0..3 {
        recorded(&cluster, at, leader).await;
    }
    cluster.converged().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_learner_is_found_although_it_starts_no_elections() {
    let regions = ["westeurope", "eastus", "southeastasia", "japaneast", "brazilsouth"];
    let bootstrapped = Cluster::bootstrap(&regions, Options::default()).await;
    let mut cluster = bootstrapped.expect("the cluster is bootstrapped");
    let learner = cluster.join("westus").await.expect("the agent joins");
    cluster.converged().await;
    cluster.stop(learner).await.expect("the node stops");
    let created = cluster.propose(0, crate::support::create("contoso")).await;
    assert!(accepted(&created.expect("the change is decided")));
    cluster.restart_elsewhere(learner).await.expect("the node starts");
    recorded(&cluster, 0, learner).await;
    cluster.converged().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_members_that_moved_at_once_find_each_other_through_a_third() {
    let mut cluster = contoso(Options::default()).await;
    cluster.voters(3).await;
    let leader = cluster.leader().await;
    let (moved, third) = ([leader, (leader + 1) % 3], (leader + 2) % 3);
    for node in moved {
        cluster.stop(node).await.expect("the node stops");
    }
    for node in moved {
        cluster.restart_elsewhere(node).await.expect("the node starts");
    }
    let [first, second] = moved.map(|node| cluster.nodes[node].ports().cluster.node());
    until("the moved members to reach each other", || async {
        let ports = cluster.nodes[moved[0]].ports();
        let deadline = Instant::now() + Duration::from_secs(1);
        let transferred = ports.cluster.transfer_leader(Some(first), deadline).await;
        let members = ports.cluster.members(deadline).await;
        let reached = members.iter().any(|member| {
            member.node == second && matches!(member.last_contact, Some(LastContact::Ago(_)))
        });
        (transferred == Ok(first) && reached).then_some(())
    })
    .await;
    cluster.stop(third).await.expect("the node stops");
    let receipt = cluster.propose(moved[1], change("contoso", vec![add("westus", 1)])).await;
    assert!(accepted(&receipt.expect("two of three voters are a quorum")));
}
