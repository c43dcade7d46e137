//! Errors as a client sees them.

use std::time::Duration;

use meridian_ports::{ClusterError, ProposeError, ReadError};
use meridian_proto::v1;
use meridian_proto::v1::edit::Edit;
use tonic::Code;
use tonic_types::StatusExt;

use crate::fake::agent_name;
use crate::harness::{
    World, add, change, conflict, context, fields, reason, rejections, scale, types,
};

#[tokio::test]
async fn all_invalid_fields_are_reported_together() {
    let mut world = World::with_contoso().await;
    let before = world.fake.revision();
    let zones = vec![0, 10];
    let request = v1::ChangeServiceRequest {
        context: Some(v1::ChangeContext {
            request_id: "4".to_owned(),
            actor: String::new(),
            reason: "two\nlines".to_owned(),
            dry_run: false,
        }),
        service: "Contoso!".to_owned(),
        expected_revision: Some(0),
        edits: vec![
            v1::Edit { edit: Some(add("north_pole", 0)) },
            v1::Edit { edit: None },
            v1::Edit { edit: Some(Edit::Tier("gold".to_owned())) },
            v1::Edit { edit: Some(Edit::Port(70_000)) },
            v1::Edit { edit: Some(Edit::WhenDisabled("drop".to_owned())) },
            v1::Edit {
                edit: Some(Edit::Add(v1::AddRegion {
                    region: "eastus".to_owned(),
                    units: 1,
                    zones,
                })),
            },
        ],
    };
    let status = world.change(request).await.expect_err("is refused");
    let expected = [
        "context.actor",
        "context.reason",
        "context.request_id",
        "service",
        "expected_revision",
        "edits[0].add.region",
        "edits[0].add.units",
        "edits[1]",
        "edits[2].tier",
        "edits[3].port",
        "edits[4].when_disabled",
        "edits[5].add.zones[0]",
        "edits[5].add.zones[1]",
    ];
    assert_eq!(fields(&status), expected);
    assert_eq!(reason(&status), "FIELDS_INVALID");
    assert_eq!(world.fake.revision(), before);
}

#[tokio::test]
async fn extreme_messages_get_a_bounded_error() {
    let mut world = World::with_contoso().await;
    let huge = "\u{1f980}".repeat(200_000);
    let many = Edit::Add(v1::AddRegion { region: huge, units: u32::MAX, zones: vec![7; 200_000] });
    let status = world.edit(vec![many]).await.expect_err("is refused");
    assert_eq!(fields(&status).len(), 3);
    let status = world.edit(vec![scale("eastus", 1); 10_000]).await.expect_err("is refused");
    assert_eq!(fields(&status), ["edits"]);
    let status = world.edit(vec![Edit::Tier("\"".repeat(500_000))]).await.expect_err("is refused");
    assert_eq!(fields(&status), ["edits[0].tier"]);
    let mut future = change(vec![scale("eastus", 1)]);
    future.expected_revision = Some(u64::MAX);
    let status = world.change(future).await.expect_err("is refused");
    assert_eq!(status.code(), Code::Aborted);
}

#[tokio::test]
async fn a_rejected_change_has_every_violation_and_the_code_of_their_kind() {
    let mut world = World::with_contoso().await;
    let cases: [(Vec<Edit>, Code, &[&str]); 7] = [
        (vec![add("easstus", 1)], Code::NotFound, &["REGION_UNKNOWN"]),
        (vec![scale("japaneast", 1)], Code::NotFound, &["REGION_ABSENT"]),
        (vec![add("eastus", 1)], Code::AlreadyExists, &["REGION_EXISTS"]),
        (vec![scale("eastus", 13)], Code::FailedPrecondition, &["TOO_MANY_UNITS"]),
        (
            vec![Edit::Remove("westeurope".to_owned())],
            Code::FailedPrecondition,
            &["PRIMARY_REMOVED"],
        ),
        (vec![Edit::Tier("standard".to_owned())], Code::FailedPrecondition, &["SEVERAL_REGIONS"]),
        (
            vec![add("easstus", 1), add("eastus", 1)],
            Code::FailedPrecondition,
            &["REGION_UNKNOWN", "REGION_EXISTS"],
        ),
    ];
    let before = world.fake.revision();
    for (edits, code, types) in cases {
        let status = world.edit(edits.clone()).await.expect_err("is refused");
        assert_eq!((status.code(), reason(&status).as_str()), (code, "REFUSED"), "{edits:?}");
        assert_eq!(rejections(&status), types, "{edits:?}");
        let mut forecast = change(edits.clone());
        forecast.context.as_mut().expect("has one").dry_run = true;
        let dry = world.change(forecast).await.expect_err("is refused");
        assert_eq!((dry.code(), rejections(&dry)), (code, rejections(&status)), "dry: {edits:?}");
    }
    assert_eq!(world.fake.revision(), before);
    let unknown = world.edit(vec![add("easstus", 1)]).await.expect_err("is refused");
    assert!(unknown.message().contains("eastus"), "{}", unknown.message());
    assert_eq!(world.create("contoso").await.expect_err("exists").code(), Code::AlreadyExists);
}

#[tokio::test]
async fn a_conflict_has_the_events_since_the_expected_revision() {
    let mut world = World::with_contoso().await;
    let list = world.services.list_services(v1::ListServicesRequest::default()).await;
    let seen = list.expect("is listed").into_inner().services[0].revision;
    world.edit(vec![scale("eastus", 4)]).await.expect("is changed");
    world.fake.settle();
    let promoted = world.edit(vec![Edit::Promote("eastus".to_owned())]).await.expect("is changed");

    let mut late = change(vec![scale("eastus", 1)]);
    late.expected_revision = Some(seen);
    let status = world.change(late.clone()).await.expect_err("is refused");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Aborted, "CONFLICT"));
    let since = conflict(&status);
    assert_eq!(types(&since.events), ["UnitsScaled", "PrimaryPromoted"]);
    assert_eq!((since.expected_revision, since.current_revision), (seen, promoted.revision));
    assert!(!since.more);

    for units in (1..=4).cycle().take(40) {
        world.edit(vec![scale("eastus", units)]).await.expect("is changed");
    }
    late.context = context();
    let since = conflict(&world.change(late.clone()).await.expect_err("is refused"));
    assert!((5..=20).contains(&since.events.len()), "{} events", since.events.len());
    assert!(since.more);
    assert_eq!(since.events.last().expect("has some").revision, since.current_revision);

    world.fake.set(|script| script.trimmed = since.current_revision - 1);
    late.context = context();
    let since = conflict(&world.change(late).await.expect_err("is refused"));
    assert_eq!((since.events.len(), since.more), (1, true));
}

#[tokio::test]
async fn a_failed_proposal_has_a_code_and_a_reason() {
    let mut world = World::with_contoso().await;
    let waited = Duration::from_secs(1);
    let request = change(vec![scale("eastus", 3)]);
    let id = request.context.clone().expect("has one").request_id;
    let parsed = id.parse().expect("is one");
    let cause = || "the connection was lost".to_owned();
    let cases = [
        (ProposeError::NoLeader { waited }, Code::Unavailable, "NO_LEADER", true),
        (ProposeError::Overloaded { waiting: 9 }, Code::ResourceExhausted, "OVERLOADED", true),
        (ProposeError::LowDisk { free: 1, floor: 2 }, Code::ResourceExhausted, "LOW_DISK", true),
        (
            ProposeError::TooLarge { bytes: 2, most: 1 },
            Code::InvalidArgument,
            "CHANGE_TOO_LARGE",
            false,
        ),
        (
            ProposeError::RequestReused { request: parsed },
            Code::FailedPrecondition,
            "REQUEST_REUSED",
            false,
        ),
        (
            ProposeError::RequestExpired { request: parsed },
            Code::FailedPrecondition,
            "REQUEST_EXPIRED",
            false,
        ),
        (
            ProposeError::RequestFromFuture { request: parsed, ahead: waited },
            Code::FailedPrecondition,
            "REQUEST_FROM_FUTURE",
            false,
        ),
        (ProposeError::Internal { cause: cause() }, Code::Internal, "INTERNAL", false),
        (
            ProposeError::Unknown { cause: cause() },
            Code::DeadlineExceeded,
            "OUTCOME_UNKNOWN",
            false,
        ),
    ];
    for (error, code, expected, retry) in cases {
        world.fake.set(|script| script.propose = Some(error.clone()));
        let status = world.change(request.clone()).await.expect_err("fails");
        let info = status.get_details_error_info().expect("has one");
        assert_eq!((status.code(), info.reason.as_str()), (code, expected), "{error}");
        assert_eq!(info.domain, "meridian");
        assert_eq!(info.metadata.get("request_id"), Some(&id));
        assert_eq!(status.get_details_retry_info().is_some(), retry, "{error}");
    }
}

#[tokio::test]
async fn a_request_id_of_another_change_is_refused() {
    let mut world = World::with_contoso().await;
    let mut request = change(vec![scale("eastus", 3)]);
    world.change(request.clone()).await.expect("is changed");
    request.edits.push(v1::Edit { edit: Some(scale("westeurope", 2)) });
    let status = world.change(request).await.expect_err("is refused");
    assert_eq!(reason(&status), "REQUEST_REUSED");
}

#[tokio::test]
async fn linearizable_reads_fail_where_stale_reads_succeed() {
    let mut world = World::with_contoso().await;
    let waited = Duration::from_secs(1);
    let cases = [
        (ReadError::NoLeader { waited }, "NO_LEADER"),
        (ReadError::Behind { index: 7, waited }, "BEHIND"),
        (ReadError::Removed, "AGENT_REMOVED"),
    ];
    for (error, expected) in cases {
        world.fake.set(|script| script.read = Some(error));
        let fresh = v1::ListServicesRequest { consistency: 0 };
        let status = world.services.list_services(fresh).await.expect_err("fails");
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, expected));
        assert!(status.get_details_retry_info().is_some());
        let stale = v1::ListServicesRequest { consistency: 1 };
        assert_eq!(
            world.services.list_services(stale).await.expect("works").get_ref().services.len(),
            1
        );
    }
    let neither = v1::ListServicesRequest { consistency: 7 };
    let status = world.services.list_services(neither).await.expect_err("is refused");
    assert_eq!(fields(&status), ["consistency"]);
}

#[tokio::test]
async fn operations_on_the_cluster_fail_with_a_reason() {
    let mut world = World::new().await;
    let waited = Duration::from_secs(1);
    let peer = || ("127.0.1.9:7401".to_owned(), "connection refused".to_owned());
    let (peer, cause) = peer();
    let cases = [
        (ClusterError::NoLeader, Code::Unavailable, "NO_LEADER"),
        (ClusterError::ShuttingDown, Code::Unavailable, "SHUTTING_DOWN"),
        (ClusterError::NoTransferTarget, Code::FailedPrecondition, "NO_TRANSFER_TARGET"),
        (ClusterError::NotInvited { cause: peer.clone() }, Code::FailedPrecondition, "NOT_INVITED"),
        (
            ClusterError::NotIdentified { agent: agent_name("b"), cause: cause.clone() },
            Code::FailedPrecondition,
            "NOT_IDENTIFIED",
        ),
        (
            ClusterError::NotAVoter { agent: "b".to_owned() },
            Code::FailedPrecondition,
            "NOT_A_VOTER",
        ),
        (
            ClusterError::NotElected { leader: "c".to_owned() },
            Code::FailedPrecondition,
            "NOT_ELECTED",
        ),
        (
            ClusterError::TimedOut { what: "the transfer", waited },
            Code::DeadlineExceeded,
            "OUTCOME_UNKNOWN",
        ),
        (ClusterError::Peer { peer, cause }, Code::FailedPrecondition, "PEER_REFUSED"),
    ];
    for (error, code, expected) in cases {
        world.fake.set(|script| script.cluster = Some(error));
        let request = v1::TransferLeaderRequest { agent: "b".to_owned() };
        let status = world.cluster.transfer_leader(request).await.expect_err("fails");
        assert_eq!((status.code(), reason(&status).as_str()), (code, expected));
    }
}

#[tokio::test]
async fn a_panic_becomes_an_internal_error_and_the_connection_stays_open() {
    let mut world = World::with_contoso().await;
    world.fake.set(|script| script.panics = true);
    let status = world.edit(vec![scale("eastus", 3)]).await.expect_err("fails");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Internal, "INTERNAL"));
    world.fake.set(|script| script.panics = false);
    world.edit(vec![scale("eastus", 3)]).await.expect("is changed");
}
