//! Changes, submitted to any node with any request id.

use std::sync::Arc;

use meridian_domain::{Rejection, Revision, Verdict};
use meridian_ports::ProposeError;
use meridian_testkit::cluster::{Options, new_request};

use crate::support::{accepted, add, change, contoso, create, set};

#[tokio::test(flavor = "multi_thread")]
async fn any_node_accepts_a_change() {
    let cluster = contoso(Options::default()).await;
    for (node, place) in ["northeurope", "westus", "japaneast"].into_iter().enumerate() {
        let receipt = cluster.propose(node, change("contoso", vec![add(place, 1)])).await;
        assert!(accepted(&receipt.expect("the change is decided")));
    }
    cluster.converged().await;
    let state = cluster.nodes[2].ports().read.state();
    assert_eq!(state.services.values().next().expect("contoso").locations.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_returns_the_same_receipt_and_is_applied_once() {
    let cluster = contoso(Options::default()).await;
    let request = new_request();
    let command = change("contoso", vec![add("eastus", 2)]);
    let first =
        cluster.propose_as(0, command.clone(), request).await.expect("the change is decided");
    for node in 0..3 {
        let again = cluster.propose_as(node, command.clone(), request).await;
        assert_eq!(again.expect("the change is decided"), first);
    }
    let other = change("contoso", vec![add("westus", 2)]);
    let reused = cluster.propose_as(1, other, request).await.expect_err("the request id is reused");
    assert_eq!(reused, ProposeError::RequestReused { request });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_is_a_recorded_outcome() {
    let cluster = contoso(Options::default()).await;
    let request = new_request();
    let first =
        cluster.propose_as(0, create("contoso"), request).await.expect("the change is decided");
    assert!(matches!(&first.verdict, Verdict::Rejected(rejections)
        if matches!(rejections[..], [Rejection::ServiceExists { .. }])));
    assert_eq!(first.base, first.revision);
    let again =
        cluster.propose_as(2, create("contoso"), request).await.expect("the change is decided");
    assert_eq!(again, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_changes_are_each_applied_once_while_the_leader_stops() {
    let mut cluster = contoso(Options::default()).await;
    cluster.voters(3).await;
    let leader = cluster.leader().await;
    let survivors: Vec<_> = (0..3).filter(|node| *node != leader).collect();
    let ports: Vec<_> = survivors.iter().map(|node| cluster.nodes[*node].ports().clone()).collect();
    let ports = Arc::new(ports);
    let clients: Vec<_> = (0..16_u16)
        .map(|client| {
            let ports = ports.clone();
            tokio::spawn(async move {
                let mut revisions = Vec::new();
                for round in 0..20_usize {
                    let port = &ports[round % ports.len()];
                    let units = u16::try_from(round % 2).expect("a small number") + 1;
                    let place = ["northeurope", "westus", "japaneast", "brazilsouth"]
                        [usize::from(client) % 4];
                    let command = change("contoso", vec![set(place, units)]);
                    let receipt = propose(port, command).await;
                    if receipt.revision > receipt.base {
                        revisions.push(receipt.revision);
                    }
                }
                revisions
            })
        })
        .collect();
    cluster.stop(leader).await.expect("the node stops");
    let mut acknowledged: Vec<Revision> = Vec::new();
    for client in clients {
        acknowledged.extend(client.await.expect("the client task does not panic"));
    }
    cluster.restart(leader).await.expect("the node starts");
    cluster.converged().await;
    acknowledged.sort_unstable();
    let before = acknowledged.len();
    acknowledged.dedup();
    assert_eq!(acknowledged.len(), before, "two changes had the same revision");
    let history = &cluster.nodes[leader].ports().history;
    for revision in acknowledged {
        let event = history.events(revision, 1).expect("the events can be read");
        assert_eq!(event[0].change_end, revision);
    }
}

pub async fn propose(
    ports: &meridian_testkit::cluster::Ports,
    command: meridian_domain::Command,
) -> meridian_ports::Receipt {
    use meridian_domain::Actor;
    use meridian_ports::{Proposal, Requester};
    let actor = Actor::new("test").expect("a valid actor");
    let requester = Requester::Operator { request: new_request(), actor, reason: None };
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    let proposal = Proposal { command, requester, deadline };
    ports.propose.propose(proposal).await.expect("the change is decided in time")
}

/// The other nodes can make a change durable, but a node that stops does not acknowledge anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_disk_failed_acknowledges_no_change() {
    let cluster = contoso(Options::default()).await;
    let leader = cluster.leader().await;
    let follower = (leader + 1) % 3;
    cluster.converged().await;
    cluster.nodes[follower].fail();
    for units in [2, 3] {
        let result = cluster.propose(follower, change("contoso", vec![set("westeurope", units)]));
        assert!(matches!(result.await, Err(ProposeError::Unknown { .. })));
    }
}
