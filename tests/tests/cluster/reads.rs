//! Linearizable reads, and none without a majority.

use std::time::Duration;

use meridian_ports::{Consistency, ProposeError, ReadError};
use meridian_testkit::cluster::Options;
use tokio::time::Instant;

use crate::support::{add, change, contoso};

#[tokio::test(flavor = "multi_thread")]
async fn a_read_at_any_node_sees_what_was_acknowledged_before() {
    let cluster = contoso(Options::default()).await;
    for round in 0..30 {
        let units = u16::from(round % 2 == 0) + 1;
        let command = change("contoso", vec![crate::support::set("northeurope", units)]);
        let receipt = cluster.propose(round % 3, command).await.expect("is answered");
        let reader = &cluster.nodes[(round + 1) % 3].ports().read;
        let deadline = Instant::now() + Duration::from_secs(10);
        let point = reader.read(Consistency::Linearizable, deadline).await.expect("is fresh");
        assert!(point.revision >= receipt.revision, "round {round}: {point:?} {receipt:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_only_stale_reads_are_answered() {
    let mut cluster = contoso(Options::default()).await;
    cluster.voters(3).await;
    cluster.agreement().await;
    cluster.stop(1).await.expect("stops");
    cluster.stop(2).await.expect("stops");
    let survivor = cluster.nodes[0].ports();
    let deadline = Instant::now() + Duration::from_secs(2);
    let fresh = survivor.read.read(Consistency::Linearizable, deadline).await;
    assert!(matches!(fresh, Err(ReadError::NoLeader { .. })), "{fresh:?}");
    let stale = survivor.read.read(Consistency::Stale, deadline).await.expect("is answered");
    assert!(stale.revision.0 > 0 && stale.leader_contact.is_some());
    assert_eq!(survivor.read.state().services.len(), 1);

    let actor = meridian_domain::Actor::new("test").expect("is an actor");
    let request = meridian_testkit::cluster::new_request();
    let requester = meridian_ports::Requester::Operator { request, actor, reason: None };
    let command = change("contoso", vec![add("westus", 1)]);
    let deadline = Instant::now() + Duration::from_secs(2);
    let proposal = meridian_ports::Proposal { command: command.clone(), requester, deadline };
    let refused = survivor.propose.propose(proposal).await.expect_err("no majority");
    assert!(matches!(refused, ProposeError::NoLeader { .. } | ProposeError::Unknown { .. }));

    cluster.restart(1).await.expect("starts");
    let first = cluster.propose_as(0, command.clone(), request).await.expect("is answered");
    let again = cluster.propose_as(1, command, request).await.expect("is answered");
    assert_eq!(first, again);
}
