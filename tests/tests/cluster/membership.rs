//! Agents join and leave; at most five are voters.

use std::time::Duration;

use meridian_domain::{Command, NodeId};
use meridian_ports::{
    ClusterError, Consistency, LastContact, Leadership, Member, MemberChange, Next, Pending,
    ReadError, SharedSetting, SharedSettings, WaitsFor,
};
use meridian_testkit::cluster::{Cluster, Options};
use meridian_testkit::wait::until;
use tokio::time::{Instant, timeout};

use crate::support::{accepted, add, change, contoso};

fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_agents_become_voters_and_removed_agents_learn_of_it() {
    let mut cluster = contoso(Options::default()).await;
    cluster.voters(3).await;
    cluster.join("japaneast").await.expect("the agent joins");
    let fifth = cluster.join("brazilsouth").await.expect("the agent joins");
    cluster.voters(5).await;
    let receipt = cluster.propose(fifth, change("contoso", vec![add("westus", 1)])).await;
    assert!(accepted(&receipt.expect("the change is decided")));
    cluster.converged().await;

    let agent = cluster.nodes[fifth].name().clone();
    let drained = cluster.propose(0, Command::DrainAgent { agent: agent.clone() }).await;
    assert!(accepted(&drained.expect("the change is decided")));
    cluster.voters(3).await;
    let removed = cluster.propose(0, Command::RemoveAgent { agent }).await;
    assert!(accepted(&removed.expect("the change is decided")));
    until("the agent to be removed from the members", || async {
        let members = cluster.nodes[0].ports().cluster.members(deadline()).await;
        (members.len() == 4).then_some(())
    })
    .await;
    until("the removed agent to learn of its removal", || async {
        let read =
            cluster.nodes[fifth].ports().read.read(Consistency::Linearizable, deadline()).await;
        (read == Err(ReadError::Removed)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_node_accepts_a_leadership_transfer() {
    let cluster = contoso(Options::default()).await;
    cluster.voters(3).await;
    for contacted in 0..3 {
        let leader = cluster.leader().await;
        let target = (leader + 1) % 3;
        let node = cluster.nodes[target].ports().cluster.node();
        let ports = cluster.nodes[contacted].ports();
        let transferred =
            ports.cluster.transfer_leader(Some(node), Instant::now() + Duration::from_secs(20));
        assert_eq!(transferred.await, Ok(node));
        for (index, member) in cluster.nodes.iter().enumerate() {
            let mut leadership = member.ports().leadership.clone();
            let leads = |known: &Leadership| match known {
                Leadership::Leader { node: leader, .. } => index == target && *leader == node,
                Leadership::Follower { leader } => index != target && *leader == node,
                Leadership::Unknown => false,
            };
            let watched = timeout(Duration::from_secs(20), leadership.wait_for(leads)).await;
            assert!(watched.expect("the watch follows the transfer").is_ok());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_leader_transfers_leadership_before_it_loses_its_vote() {
    let mut cluster = contoso(Options::default()).await;
    cluster.join("japaneast").await.expect("the agent joins");
    let leader = cluster.leader().await;
    let agent = cluster.nodes[leader].name().clone();
    let drained = cluster.propose(leader, Command::DrainAgent { agent }).await;
    assert!(accepted(&drained.expect("the change is decided")));
    let node = cluster.nodes[leader].ports().cluster.node();
    until("the drained agent to lose its vote", || async {
        let members = cluster.nodes[leader].ports().cluster.members(deadline()).await;
        members.iter().any(|member| member.node == node && !member.voter).then_some(())
    })
    .await;
    cluster.voters(3).await;
    let receipt = cluster.propose(leader, change("contoso", vec![add("westus", 1)])).await;
    assert!(accepted(&receipt.expect("the change is decided")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_leader_does_not_count_members_that_it_has_not_heard_from() {
    let mut cluster = contoso(Options::default()).await;
    cluster.voters(3).await;
    let first = cluster.leader().await;
    let (dead, target) = ((first + 1) % 3, (first + 2) % 3);
    let [first_node, dead_node, target_node] =
        [first, dead, target].map(|index| cluster.nodes[index].ports().cluster.node());
    let agent = cluster.nodes[first].name().clone();
    cluster.stop(dead).await.expect("the node stops");
    let ports = cluster.nodes[target].ports().clone();
    assert_eq!(ports.cluster.transfer_leader(Some(target_node), deadline()).await, Ok(target_node));

    // One voter is dead, so the majority depends on the drained one.
    let drained = cluster.propose(target, Command::DrainAgent { agent }).await;
    assert!(accepted(&drained.expect("the change is decided")));
    let majority = WaitsFor::Majority { voters: 2, silent: vec![dead_node] };
    let waits = Pending { change: MemberChange::LoseVote, waits_for: Some(majority) };
    let members = until("the drained agent to wait", || async {
        let members = ports.cluster.members(deadline()).await;
        let next = member(&members, first_node).next.clone();
        (next == Some(Next::Change(waits.clone()))).then_some(members)
    })
    .await;
    let contact = member(&members, dead_node).last_contact;
    assert!(matches!(contact, Some(LastContact::NotWithin(_))), "{members:?}");
    let receipt = cluster.propose(target, change("contoso", vec![add("westus", 1)])).await;
    assert!(accepted(&receipt.expect("the change is decided")));

    cluster.restart(dead).await.expect("the node starts");
    cluster.voters(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_observes_the_settings_of_the_agents_and_its_round_trips_to_them() {
    let cluster = contoso(Options::default()).await;
    cluster.voters(3).await;
    let members = &cluster.nodes[0].ports().cluster;
    let settings = members.agents(deadline()).await.into_iter().map(|agent| agent.settings);
    let expected = SharedSettings::from([
        (SharedSetting::Network, "lan".to_owned()),
        (SharedSetting::SnapshotAfterEntries, Options::default().snapshot_after.to_string()),
        (SharedSetting::KeepEntries, Options::default().keep_entries.to_string()),
    ]);
    assert_eq!(settings.collect::<Vec<_>>(), vec![expected; 3]);
    let measured = || async {
        let round_trips = members.round_trips();
        (round_trips.medians.len() == 2).then_some(round_trips)
    };
    let round_trips = until("the round trips are measured", measured).await;
    assert_eq!(round_trips.limit, Duration::from_millis(30));
    assert!(!round_trips.medians.contains_key(&members.node()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_voter_has_no_lag_and_no_transfer_target() {
    let cluster = Cluster::bootstrap(&["westeurope"], Options::default())
        .await
        .expect("the cluster is bootstrapped");
    let ports = cluster.nodes[0].ports();
    assert_eq!(ports.cluster.agents(deadline()).await[0].lag, Some(Duration::ZERO));
    let members = ports.cluster.members(deadline()).await;
    assert_eq!(members[0].last_contact, Some(LastContact::Ago(Duration::ZERO)));
    assert_eq!(
        ports.cluster.transfer_leader(None, deadline()).await,
        Err(ClusterError::NoTransferTarget)
    );
}

fn member(members: &[Member], node: NodeId) -> &Member {
    members.iter().find(|member| member.node == node).expect("the node is a member")
}
