//! The cluster's own methods.

use meridian_domain::NodeId;
use meridian_ports::{MemberChange, Pending, WaitsFor};
use meridian_proto::v1;
use tonic::Code;

use crate::fake::cluster_id;
use crate::harness::{World, add, context, fields, reason, rejections, types};

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
    }
}

async fn status(world: &mut World) -> v1::GetStatusResponse {
    let status = world.cluster.get_status(v1::GetStatusRequest {}).await;
    status.expect("is answered").into_inner()
}

#[tokio::test]
async fn an_agent_registers_and_the_members_know_it() {
    let mut world = World::new().await;
    let answer = world.cluster.register_agent(registration("d")).await.expect("is registered");
    assert_eq!(answer.get_ref().cluster_id, cluster_id().to_string());
    assert_eq!(answer.get_ref().revision, world.fake.revision());
    let again = v1::RegisterAgentRequest {
        cluster_id: cluster_id().to_string().to_uppercase(),
        ..registration("d")
    };
    let again = world.cluster.register_agent(again).await.expect("is known");
    assert_eq!(again.get_ref().revision, answer.get_ref().revision);
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
async fn a_registration_is_checked() {
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
    let cluster_id = "01932f5e-8b1a-4c3d-9e4f-000000000000".to_owned();
    let stranger = v1::RegisterAgentRequest { cluster_id, ..registration("d") };
    let status = world.cluster.register_agent(stranger).await.expect_err("is refused");
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::FailedPrecondition, "WRONG_CLUSTER")
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
async fn leadership_goes_to_the_agent_named() {
    let mut world = World::new().await;
    for (asked, leads) in [("c", "c"), ("", "b")] {
        let request = v1::TransferLeaderRequest { agent: asked.to_owned() };
        let answer = world.cluster.transfer_leader(request).await.expect("is transferred");
        assert_eq!(answer.get_ref().agent, leads);
    }
    for (asked, code) in [("x", Code::NotFound), ("X", Code::InvalidArgument)] {
        let request = v1::TransferLeaderRequest { agent: asked.to_owned() };
        let status = world.cluster.transfer_leader(request).await.expect_err("is refused");
        assert_eq!(status.code(), code);
    }
    let snapshot = world.cluster.take_snapshot(v1::TakeSnapshotRequest {}).await;
    assert_eq!(snapshot.expect("is taken").get_ref().revision, world.fake.revision());
}

#[tokio::test]
async fn limits_are_read_checked_and_set() {
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
async fn regions_and_trims_are_checked() {
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

#[tokio::test]
async fn a_healthy_cluster_gives_no_warning() {
    let mut world = World::with_contoso().await;
    let status = status(&mut world).await;
    assert_eq!(status.warnings, Vec::<String>::new());
    assert_eq!((status.answered_by.as_str(), status.leader.as_str()), ("a", "a"));
    assert_eq!((status.cluster_id, status.data_version), (cluster_id().to_string(), 1));
    let agent = &status.agents[1];
    assert_eq!((agent.name.as_str(), agent.region.as_str()), ("b", "eastus"));
    assert_eq!(agent.revision, Some(world.fake.revision()));
    assert_eq!(agent.state_hash.len(), 64);
    assert!(agent.reachable && agent.lag.is_some());
}

#[tokio::test]
async fn the_status_warns_of_what_an_operator_should_know() {
    let mut world = World::with_contoso().await;
    world.fake.set(|script| script.strange = vec!["b".to_owned()]);
    let differing = status(&mut world).await.warnings;
    assert!(differing[0].contains("hold different states"), "{differing:?}");

    world.fake.set(|script| {
        script.strange.clear();
        script.mute = vec!["b".to_owned(), "c".to_owned()];
        script.silent = vec![2, 3];
    });
    world.edit(vec![add("japaneast", 1)]).await.expect("is added");
    let status = status(&mut world).await;
    let warned = |text: &str| {
        assert!(status.warnings.iter().any(|warning| warning.contains(text)), "{text}: {status:?}");
    };
    warned("1 of 3 voters can be reached from here and 2 are needed");
    warned("agent b in eastus does not answer");
    warned("contoso in japaneast has no agent");
    warned("contoso in eastus: its agent cannot be reached");
    assert!(!status.agents[1].reachable && status.agents[1].revision.is_none());
}

#[tokio::test]
async fn what_a_drain_waits_for_is_said_in_its_answer_and_ever_after() {
    let mut world = World::with_contoso().await;
    let majority = WaitsFor::Majority { voters: 2, silent: vec![NodeId(3)] };
    let pending = Pending { change: MemberChange::LoseVote, waits_for: Some(majority) };
    world.fake.set(|script| {
        script.unheard = vec![3];
        script.pending.insert(2, pending);
    });
    let drain = |context| v1::DrainAgentRequest { context, agent: "b".to_owned(), undo: false };
    let rehearsal = context().map(|context| v1::ChangeContext { dry_run: true, ..context });
    let rehearsed = world.cluster.drain_agent(drain(rehearsal)).await.expect("is foreseen");
    assert_eq!(rehearsed.get_ref().waits, []);
    let drained = world.cluster.drain_agent(drain(context())).await.expect("is accepted");
    let [vote, units] = &drained.get_ref().waits[..] else { panic!("{drained:?}") };
    assert_eq!(
        vote.cause,
        "b is to lose its vote and keeps it for now: of the 2 voters then, 1 would answer (c would \
         not) and 2 are needed"
    );
    assert_eq!(
        vote.next_step,
        "start c, or, if it is gone for good, forget it with `meridian cluster remove c`"
    );
    assert!(units.cause.starts_with("no agent in eastus takes units any more"), "{units:?}");

    let warnings = status(&mut world).await.warnings;
    assert!(warnings.contains(&format!("{}; {}", vote.cause, vote.next_step)), "{warnings:?}");
    let members = world.cluster.list_members(v1::ListMembersRequest {}).await;
    let members = members.expect("is listed").into_inner().members;
    assert_eq!((members[1].next.as_str(), members[1].waits_for.as_ref()), ("loseVote", Some(vote)));
    assert_eq!((members[2].next.as_str(), members[2].last_contact_is_bound), ("stay", true));
    assert!(!members[1].last_contact_is_bound);
}

#[tokio::test]
async fn a_removed_agent_that_still_leads_counts_and_is_named_by_its_id() {
    let mut world = World::new().await;
    world.fake.set(|script| {
        script.mute = vec!["c".to_owned()];
        script.orphaned_leader = Some(2);
    });
    let request = v1::RemoveAgentRequest { context: context(), agent: "b".to_owned() };
    world.cluster.remove_agent(request).await.expect("is removed");
    let status = status(&mut world).await;
    assert_eq!(status.leader, "0000000000000002");
    assert!(!status.warnings.iter().any(|warning| warning.contains("are needed")), "{status:?}");
}

#[tokio::test]
async fn every_change_of_a_member_says_what_it_waits_for() {
    let mut world = World::with_contoso().await;
    let (gains, loses) = (MemberChange::GainVote, MemberChange::LoseVote);
    for (change, waits_for, cause, next_step) in [
        (gains, WaitsFor::Answer, "b is to vote and does not yet: it does not answer", "start b"),
        (gains, WaitsFor::CatchUp { behind: Some(5_000) }, "it lacks 5000 entries", "wait: "),
        (gains, WaitsFor::CatchUp { behind: None }, "it has nothing of the log yet", "wait: "),
        (loses, WaitsFor::Replacement { by: vec![NodeId(3)] }, "c is to vote instead", "see to c"),
        (loses, WaitsFor::Heir { among: vec![NodeId(1), NodeId(3)] }, "a or c is", "start a or c"),
        (MemberChange::Leave, WaitsFor::Answer, "b was removed and stays a voter", "start b"),
    ] {
        let pending = Pending { change, waits_for: Some(waits_for) };
        world.fake.set(|script| script.pending = [(2, pending)].into());
        let warnings = status(&mut world).await.warnings;
        let says = |warning: &&String| warning.contains(cause) && warning.contains(next_step);
        assert!(
            warnings.iter().any(|warning| says(&warning)),
            "{cause}, {next_step}: {warnings:?}"
        );
    }
    let under_way = Pending { change: loses, waits_for: None };
    world.fake.set(|script| script.pending = [(2, under_way)].into());
    assert_eq!(status(&mut world).await.warnings, Vec::<String>::new());
}

#[tokio::test]
async fn few_voters_and_no_leader_are_warned_of() {
    let mut world = World::new().await;
    let request = v1::RemoveAgentRequest { context: context(), agent: "c".to_owned() };
    world.cluster.remove_agent(request).await.expect("is removed");
    world.fake.set(|script| script.leaderless = true);
    let status = status(&mut world).await;
    assert_eq!(status.leader, "");
    assert!(status.warnings[0].contains("no leader is known here"), "{status:?}");
    assert!(status.warnings[1].contains("the cluster has 2 voters"), "{status:?}");
}
