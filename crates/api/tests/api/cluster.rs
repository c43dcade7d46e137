//! The service `Cluster`.

use meridian_proto::v1;
use tonic::Code;

use crate::fake::cluster_id;
use crate::harness::{World, context, fields, reason, rejections, types};

fn registration(name: &str) -> v1::RegisterAgentRequest {
    v1::RegisterAgentRequest {
        name: name.to_owned(),
        node: "00000000000000aa".to_owned(),
        region: "japaneast".to_owned(),
        zone: None,
        witness: false,
        client_address: "127.0.1.4:7400".to_owned(),
        peer_address: "127.0.1.4:7401".to_owned(),
        gateway_host: "127.0.1.4".to_owned(),
        supports: 1,
        cluster_id: String::new(),
        epoch: 0,
    }
}

#[tokio::test]
async fn a_registered_agent_is_listed_among_the_members() {
    let mut world = World::new().await;
    let response = world.cluster.register_agent(registration("d")).await.expect("is registered");
    assert_eq!(response.get_ref().cluster_id, cluster_id().to_string());
    assert_eq!(response.get_ref().revision, world.fake.revision());
    let again = v1::RegisterAgentRequest {
        cluster_id: cluster_id().to_string().to_uppercase(),
        ..registration("d")
    };
    let again = world.cluster.register_agent(again).await.expect("is known");
    assert_eq!(again.get_ref().revision, response.get_ref().revision);
    let members = world.cluster.list_members(v1::ListMembersRequest {}).await;
    let members = members.expect("is listed").into_inner().members;
    let names: Vec<_> = members.iter().map(|member| member.agent.as_str()).collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
    let now = Some(prost_types::Duration::default());
    assert_eq!((members[0].role.as_str(), members[0].last_contact), ("leader", now));
    assert_eq!(
        (members[3].id.as_str(), members[3].role.as_str()),
        ("00000000000000aa", "follower")
    );
    assert_eq!(members[3].address, "127.0.1.4:7400");
    assert!(members[3].voter && members[3].last_contact.is_some());
}

#[tokio::test]
async fn a_registration_is_validated() {
    let mut world = World::new().await;
    let bad = v1::RegisterAgentRequest {
        name: "D".to_owned(),
        node: "aa".to_owned(),
        region: String::new(),
        zone: Some(10),
        witness: false,
        client_address: "127.0.1.4".to_owned(),
        peer_address: "http://127.0.1.4:7401".to_owned(),
        gateway_host: "a b".to_owned(),
        supports: 0,
        cluster_id: "no".to_owned(),
        epoch: 0,
    };
    let status = world.cluster.register_agent(bad).await.expect_err("is refused");
    let expected = [
        "name",
        "node",
        "region",
        "zone",
        "client_address",
        "peer_address",
        "gateway_host",
        "supports",
        "cluster_id",
    ];
    assert_eq!(fields(&status), expected);
    let other = "01932f5e-8b1a-4c3d-9e4f-000000000000".to_owned();
    let foreign = v1::RegisterAgentRequest { cluster_id: other, ..registration("d") };
    let status = world.cluster.register_agent(foreign).await.expect_err("is refused");
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::FailedPrecondition, "WRONG_CLUSTER")
    );
    let cluster_id = cluster_id().to_string();
    let old = v1::RegisterAgentRequest { cluster_id, epoch: 1, ..registration("d") };
    let status = world.cluster.register_agent(old).await.expect_err("is of another epoch");
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::FailedPrecondition, "WRONG_EPOCH")
    );
    let status = world.cluster.register_agent(registration("a")).await.expect_err("is taken");
    assert_eq!(
        (status.code(), rejections(&status).as_slice()),
        (Code::AlreadyExists, &["AGENT_NAME_TAKEN".to_owned()][..])
    );
}

#[tokio::test]
async fn agents_are_invited_drained_and_removed() {
    let mut world = World::new().await;
    let invite = |peer: &str| v1::InviteAgentRequest { peer_address: peer.to_owned() };
    let invited = world.cluster.invite_agent(invite("127.0.1.4:7401")).await.expect("is invited");
    assert_eq!(invited.get_ref().agent, "d");
    let status = world.cluster.invite_agent(invite("d")).await.expect_err("is refused");
    assert_eq!(fields(&status), ["peer_address"]);

    for (undo, event) in [(false, "AgentDrained"), (true, "AgentUndrained")] {
        let request = v1::DrainAgentRequest { context: context(), agent: "b".to_owned(), undo };
        let drained = world.cluster.drain_agent(request).await.expect("is accepted").into_inner();
        assert_eq!(types(&drained.events), [event]);
    }
    let remove =
        |agent: &str| v1::RemoveAgentRequest { context: context(), agent: agent.to_owned() };
    let removed = world.cluster.remove_agent(remove("b")).await.expect("is removed").into_inner();
    assert_eq!(types(&removed.events), ["AgentRemoved"]);
    let status = world.cluster.remove_agent(remove("b")).await.expect_err("is gone");
    assert_eq!(
        (status.code(), rejections(&status).as_slice()),
        (Code::NotFound, &["AGENT_UNKNOWN".to_owned()][..])
    );
}

#[tokio::test]
async fn members_are_informed_of_the_address_of_an_agent() {
    let mut world = World::new().await;
    let readdress = |agent: &str, peer: &str| v1::ReaddressAgentRequest {
        agent: agent.to_owned(),
        peer_address: peer.to_owned(),
    };
    let response = world.cluster.readdress_agent(readdress("b", "10.0.0.2:7401")).await;
    let response = response.expect("is identified").into_inner();
    assert_eq!(
        (&response.informed[..], &response.unreachable[..]),
        (&["a".to_owned()][..], &["c".to_owned()][..])
    );
    for (request, code) in [
        (readdress("x", "10.0.0.2:7401"), Code::NotFound),
        (readdress("b", "10.0.0.2"), Code::InvalidArgument),
    ] {
        let status = world.cluster.readdress_agent(request).await.expect_err("is refused");
        assert_eq!(status.code(), code);
    }
}

#[tokio::test]
async fn leadership_is_transferred_to_the_named_agent() {
    let mut world = World::new().await;
    for (target, leads) in [("c", "c"), ("", "b")] {
        let request = v1::TransferLeaderRequest { agent: target.to_owned() };
        let response = world.cluster.transfer_leader(request).await.expect("is transferred");
        assert_eq!(response.get_ref().agent, leads);
    }
    for (target, code) in [("x", Code::NotFound), ("X", Code::InvalidArgument)] {
        let request = v1::TransferLeaderRequest { agent: target.to_owned() };
        let status = world.cluster.transfer_leader(request).await.expect_err("is refused");
        assert_eq!(status.code(), code);
    }
    let snapshot = world.cluster.take_snapshot(v1::TakeSnapshotRequest {}).await;
    assert_eq!(snapshot.expect("is taken").get_ref().revision, world.fake.revision());
}

#[tokio::test]
async fn limits_are_read_validated_and_set() {
    let mut world = World::new().await;
    let limits = world.cluster.get_limits(v1::GetLimitsRequest::default()).await;
    let mut limits = limits.expect("are read").into_inner().limits.expect("are there");
    assert_eq!((limits.premium_units, limits.voters), (12, 5));
    limits.premium_units = 20;
    let request = v1::SetLimitsRequest { context: context(), limits: Some(limits) };
    let set = world.cluster.set_limits(request).await.expect("are set").into_inner();
    assert_eq!(types(&set.events), ["LimitsSet"]);
    limits = v1::Limits { developer_units: 0, voters: 4, ..limits };
    let request = v1::SetLimitsRequest { context: context(), limits: Some(limits) };
    let status = world.cluster.set_limits(request).await.expect_err("are refused");
    assert_eq!(fields(&status), ["limits.developer_units", "limits.voters"]);
    let request = v1::SetLimitsRequest { context: context(), limits: None };
    let status = world.cluster.set_limits(request).await.expect_err("are refused");
    assert_eq!(fields(&status), ["limits"]);
}

#[tokio::test]
async fn regions_and_trims_are_validated() {
    let mut world = World::new().await;
    let request = v1::DefineRegionRequest {
        context: context(),
        name: "north/pole".to_owned(),
        display_name: String::new(),
        latitude: f64::NAN,
        longitude: -180.1,
    };
    let status = world.cluster.define_region(request).await.expect_err("is refused");
    assert_eq!(fields(&status), ["name", "display_name", "latitude", "longitude"]);
    let trim = |through| v1::TrimHistoryRequest { context: context(), through };
    let status = world.cluster.trim_history(trim(0)).await.expect_err("is refused");
    assert_eq!(fields(&status), ["through"]);
    let status = world.cluster.trim_history(trim(u64::MAX)).await.expect_err("is refused");
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(rejections(&status), ["TRIM_BEYOND_END"]);
}
