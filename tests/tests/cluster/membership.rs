//! Agents come and go; at most five vote.

use std::time::Duration;

use meridian_domain::{Command, NodeId};
use meridian_ports::{
    ClusterError, Consistency, LastContact, Member, MemberChange, Next, Pending, ReadError,
    WaitsFor,
};
use meridian_testkit::cluster::{Cluster, Options};
use meridian_testkit::wait::until;
use tokio::time::Instant;

use crate::support::{accepted, add, change, contoso};

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_that_join_become_voters_and_those_removed_are_told() {
    let mut cluster = contoso(Options::default()).await;
    cluster.voters(3).await;
    cluster.join("japaneast").await.expect("joins");
    let fifth = cluster.join("brazilsouth").await.expect("joins");
    cluster.voters(5).await;
    let receipt = cluster.propose(fifth, change("contoso", vec![add("westus", 1)])).await;
    assert!(accepted(&receipt.expect("is answered")));
    cluster.agreement().await;

    let agent = cluster.nodes[fifth].name().clone();
    let drained = cluster.propose(0, Command::DrainAgent { agent: agent.clone() }).await;
    assert!(accepted(&drained.expect("is answered")));
    cluster.voters(3).await;
    let removed = cluster.propose(0, Command::RemoveAgent { agent }).await;
    assert!(accepted(&removed.expect("is answered")));
    until("the removed agent to be no member", || async {
        let members = cluster.nodes[0].ports().cluster.members(soon()).await;
        (members.len() == 4).then_some(())
    })
    .await;
    until("the removed agent to know", || async {
        let read = cluster.nodes[fifth].ports().read.read(Consistency::Linearizable, soon()).await;
        (read == Err(ReadError::Removed)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_is_handed_over_when_asked_at_any_node() {
    let cluster = contoso(Options::default()).await;
    cluster.voters(3).await;
    for asked in 0..3 {
        let leader = cluster.leader().await;
        let heir = (leader + 1) % 3;
        let node = cluster.nodes[heir].ports().cluster.node();
        let ports = cluster.nodes[asked].ports();
        let moved =
            ports.cluster.transfer_leader(Some(node), Instant::now() + Duration::from_secs(20));
        assert_eq!(moved.await, Ok(node));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_leader_hands_over_before_it_loses_its_vote() {
    let mut cluster = contoso(Options::default()).await;
    cluster.join("japaneast").await.expect("joins");
    let leader = cluster.leader().await;
    let agent = cluster.nodes[leader].name().clone();
    let drained = cluster.propose(leader, Command::DrainAgent { agent }).await;
    assert!(accepted(&drained.expect("is answered")));
    let node = cluster.nodes[leader].ports().cluster.node();
    until("the drained agent to have no vote", || async {
        let members = cluster.nodes[leader].ports().cluster.members(soon()).await;
        members.iter().any(|member| member.node == node && !member.voter).then_some(())
    })
    .await;
    cluster.voters(3).await;
    let receipt = cluster.propose(leader, change("contoso", vec![add("westus", 1)])).await;
    assert!(accepted(&receipt.expect("is answered")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_leader_counts_on_no_member_that_it_never_heard_of() {
    let mut cluster = contoso(Options::default()).await;
    cluster.voters(3).await;
    let first = cluster.leader().await;
    let (dead, heir) = ((first + 1) % 3, (first + 2) % 3);
    let [first_node, dead_node, heir_node] =
        [first, dead, heir].map(|index| cluster.nodes[index].ports().cluster.node());
    let agent = cluster.nodes[first].name().clone();
    cluster.stop(dead).await.expect("stops");
    let ports = cluster.nodes[heir].ports().clone();
    assert_eq!(ports.cluster.transfer_leader(Some(heir_node), soon()).await, Ok(heir_node));

    // Without the one that is dead, the majority rests on the one that is drained.
    let drained = cluster.propose(heir, Command::DrainAgent { agent }).await;
    assert!(accepted(&drained.expect("is answered")));
    let majority = WaitsFor::Majority { voters: 2, silent: vec![dead_node] };
    let waits = Pending { change: MemberChange::LoseVote, waits_for: Some(majority) };
    let members = until("the drained one to wait", || async {
        let members = ports.cluster.members(soon()).await;
        let next = member(&members, first_node).next.clone();
        (next == Some(Next::Change(waits.clone()))).then_some(members)
    })
    .await;
    let contact = member(&members, dead_node).last_contact;
    assert!(matches!(contact, Some(LastContact::NotFor(_))), "{members:?}");
    let receipt = cluster.propose(heir, change("contoso", vec![add("westus", 1)])).await;
    assert!(accepted(&receipt.expect("is answered")));

    cluster.restart(dead).await.expect("starts");
    cluster.voters(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_alone_is_never_behind_and_hands_over_to_nobody() {
    let cluster = Cluster::found(&["westeurope"], Options::default()).await.expect("is founded");
    let ports = cluster.nodes[0].ports();
    assert_eq!(ports.cluster.agents(soon()).await[0].lag, Some(Duration::ZERO));
    let members = ports.cluster.members(soon()).await;
    assert_eq!(members[0].last_contact, Some(LastContact::Ago(Duration::ZERO)));
    assert_eq!(ports.cluster.transfer_leader(None, soon()).await, Err(ClusterError::NoHeir));
}

fn member(members: &[Member], node: NodeId) -> &Member {
    members.iter().find(|member| member.node == node).expect("is a member")
}
