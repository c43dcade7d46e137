//! Linearizable reads, with and without a quorum.

use std::time::Duration;

use meridian_ports::{Consistency, ProposeError, ReadError};
use meridian_testkit::cluster::Options;
use tokio::time::Instant;

use crate::support::{add, change, contoso};

#[tokio::test(flavor = "multi_thread")]
async fn a_read_from_any_node_reflects_acknowledged_changes() {
    let cluster = contoso(Options::default()).await;
    for round in 0..30 {
        let units = u16::from(round % 2 == 0) + 1;
        let command = change("contoso", vec![crate::support::set("northeurope", units)]);
        let receipt = cluster.propose(round % 3, command).await.expect("the change is decided");
        let reader = &cluster.nodes[(round + 1) % 3].ports().read;
        let deadline = Instant::now() + Duration::from_secs(10);
        let point =
            reader.read(Consistency::Linearizable, deadline).await.expect("the read succeeds");
        assert!(point.revision >= receipt.revision, "round {round}: {point:?} {receipt:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_only_stale_reads_succeed() {
    let mut cluster = contoso(Options::default()).await;
    cluster.voters(3).await;
    cluster.converged().await;
    cluster.stop(1).await.expect("the node stops");
    cluster.stop(2).await.expect("the node stops");
    let survivor = cluster.nodes[0].ports();
    let deadline = Instant::now() + Duration::from_secs(2);
    let fresh = survivor.read.read(Consistency::Linearizable, deadline).await;
    assert!(matches!(fresh, Err(ReadError::NoLeader { .. })), "{fresh:?}");
    let stale = survivor.read.read(Consistency::Stale, deadline).await.expect("the read succeeds");
    assert!(stale.revision.0 > 0 && stale.leader_contact.is_some());
    assert_eq!(survivor.read.state().services.len(), 1);

    let actor = meridian_domain::Actor::new("test").expect("a valid actor");
    let request = meridian_testkit::cluster::new_request();
    let requester = meridian_ports::Requester::Operator { request, actor, reason: None };
    let command = change("contoso", vec![add("westus", 1)]);
    let deadline = Instant::now() + Duration::from_secs(2);
    let proposal = meridian_ports::Proposal { command: command.clone(), requester, deadline };
    let error = survivor.propose.propose(proposal).await.expect_err("no quorum");
    assert!(matches!(error, ProposeError::NoLeader { .. } | ProposeError::Unknown { .. }));

    cluster.restart(1).await.expect("the node starts");
    let first =
        cluster.propose_as(0, command.clone(), request).await.expect("the change is decided");
    let again = cluster.propose_as(1, command, request).await.expect("the change is decided");
    assert_eq!(first, again);
}
