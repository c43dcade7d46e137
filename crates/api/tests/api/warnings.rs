//! Warnings in the status of the cluster.

use std::collections::BTreeSet;
use std::time::Duration;

use meridian_domain::reachability::votes::VoteCount;
use meridian_domain::reachability::{Gateways, ProberGroup};
use meridian_domain::{Generation, NodeId};
use meridian_ports::{
    MedianRoundTrips, MemberChange, Pending, SharedSetting, SharedSettings, WaitsFor,
};
use meridian_proto::v1;

use crate::fake::{agent_name, cluster_id};
use crate::harness::{World, add, context};

async fn status(world: &mut World) -> v1::GetStatusResponse {
    let status = world.cluster.get_status(v1::GetStatusRequest {}).await;
    status.expect("is returned").into_inner()
}

/// Every field of every warning.
fn printed(status: &v1::GetStatusResponse) -> String {
    let warnings = status.warnings.iter().map(|warning| {
        let v1::Warning { reason, subject, message, next_step, .. } = warning;
        format!("{:?} {reason} {subject}: {message}\n  {next_step}\n", warning.severity())
    });
    warnings.collect()
}

fn reasons(status: &v1::GetStatusResponse) -> Vec<&str> {
    status.warnings.iter().map(|warning| warning.reason.as_str()).collect()
}

#[tokio::test]
async fn a_healthy_cluster_has_no_warnings() {
    let mut world = World::with_contoso().await;
    let status = status(&mut world).await;
    assert_eq!(status.warnings, []);
    assert_eq!(status.health(), v1::Health::Healthy);
    assert_eq!(status.observer, Some(v1::Observer { agent: "a".to_owned(), leader: true }));
    assert_eq!((status.contacted.as_str(), status.leader.as_str()), ("a", "a"));
    assert_eq!((status.cluster_id, status.data_version), (cluster_id().to_string(), 1));
    let agent = &status.agents[1];
    assert_eq!((agent.name.as_str(), agent.region.as_str()), ("b", "eastus"));
    assert_eq!(agent.revision, Some(world.fake.revision()));
    assert_eq!(agent.state_hash.len(), 64);
    assert!(agent.reachable && agent.lag.is_some());
}

#[tokio::test]
async fn gateways_that_a_minority_fails_to_reach_are_named() {
    let mut world = World::with_contoso().await;
    let unreachable_from = ProberGroup::Region("eastus".parse().expect("is a name"));
    let votes = |gateways| VoteCount {
        agent: agent_name("a"),
        generation: Generation(1),
        gateways,
        unreachable_from: [unreachable_from.clone()].into(),
        reached_from: BTreeSet::new(),
        groups: 2,
    };
    let contoso = Gateways::Of("contoso".parse().expect("is a name"));
    world.fake.set(|script| script.votes = vec![votes(Gateways::All), votes(contoso)]);
    assert_eq!(
        printed(&status(&mut world).await),
        "\
Degraded PARTLY_UNREACHABLE agents/a: gateways of agent a unreachable from eastus; 1 of 2 regions
  fix the network between them: their clients may be sent to it
Degraded PARTLY_UNREACHABLE agents/a: \
        gateways of contoso on agent a unreachable from eastus; 1 of 2 regions
  fix the network between them: their clients may be sent to it
"
    );
}

#[tokio::test]
async fn differing_settings_are_named_with_their_holders() {
    let mut world = World::with_contoso().await;
    let network = |value: &str| SharedSettings::from([(SharedSetting::Network, value.to_owned())]);
    world.fake.set(|script| {
        script.settings = [("a", "wan"), ("b", "lan"), ("c", "wan")]
            .map(|(agent, value)| (agent.to_owned(), network(value)))
            .into();
    });
    assert_eq!(
        printed(&status(&mut world).await),
        "\
Degraded SETTINGS_DIFFER : network differs between agents: lan on b; wan on a, c
  set network to the same value on all agents and restart them
"
    );

    let database =
        |file: &str| SharedSettings::from([(SharedSetting::LocationDatabase, file.to_owned())]);
    world.fake.set(|script| {
        // b has no name server.
        script.settings = [("a", "none"), ("c", "5d41402a")]
            .map(|(agent, file)| (agent.to_owned(), database(file)))
            .into();
    });
    assert_eq!(
        printed(&status(&mut world).await),
        "\
Notice SETTINGS_DIFFER : location_database differs between agents: 5d41402a on c; none on a
  use the same file on all agents: each reads a replaced one within a minute, and another value of \
  location_database when it restarts
"
    );
}

#[tokio::test]
async fn the_status_has_warnings_worst_first() {
    let mut world = World::with_contoso().await;
    world.fake.set(|script| script.strange = vec!["b".to_owned()]);
    let differing = status(&mut world).await;
    assert_eq!(reasons(&differing), ["STATES_DIFFER"]);
    assert_eq!(differing.health(), v1::Health::Degraded);

    world.fake.set(|script| {
        script.strange.clear();
        let (median, limit) = (Duration::from_millis(412), Duration::from_millis(350));
        script.round_trips = MedianRoundTrips { medians: [(NodeId(3), median)].into(), limit };
    });
    assert_eq!(
        printed(&status(&mut world).await),
        "\
Degraded LONG_ROUND_TRIP agents/c: \
        median round trip from a to c is 412 ms, above the 350 ms of the network profile: elections \
        may not end
  set network to wan on all agents, or run `meridian agent drain c`
"
    );

    world.fake.set(|script| {
        script.round_trips = MedianRoundTrips::default();
        script.mute = vec!["b".to_owned(), "c".to_owned()];
        script.silent = vec![2, 3];
    });
    world.edit(vec![add("japaneast", 1)]).await.expect("is added");
    let status = status(&mut world).await;
    assert_eq!(status.health(), v1::Health::ChangesRefused);
    assert_eq!(
        printed(&status),
        "\
ChangesRefused NO_QUORUM : no quorum: 1 of 3 voters reachable, 2 needed
  start the agents that are unreachable or fix their network
Degraded AGENT_UNREACHABLE agents/b: \
        agent b in eastus unreachable for 60 s; the state of its 2 units is unknown
  start it or fix its network
Degraded AGENT_UNREACHABLE agents/c: \
        agent c in southeastasia unreachable for 60 s; it has no units
  start it or fix its network
Degraded AGENT_UNREACHABLE services/contoso/regions/eastus: \
        contoso in eastus: 0 of 2 units ready, 2 unknown; agent b unreachable for 60 s
  start the agent b or fix its network
Degraded NO_AGENT services/contoso/regions/japaneast: \
        contoso in japaneast: no agent takes its units
  join an agent in japaneast, or add the units in another region
"
    );
    let silence = status.agents[1].silence.and_then(|silence| silence.duration);
    assert_eq!(silence, Some(prost_types::Duration { seconds: 60, nanos: 0 }));
    assert!(!status.agents[1].reachable && status.agents[1].revision.is_none());
}

#[tokio::test]
async fn an_agent_that_does_not_respond_is_a_warning_before_it_counts_as_unreachable() {
    let mut world = World::with_contoso().await;
    world.fake.set(|script| script.mute = vec!["b".to_owned()]);
    let status = status(&mut world).await;
    assert_eq!(reasons(&status), ["AGENT_NOT_RESPONDING"]);
    assert_eq!(status.warnings[0].message, "agent b in eastus did not respond");
    assert!(!status.agents[1].reachable && status.agents[1].silence.is_none());
}

#[tokio::test]
async fn a_drain_reports_what_it_waits_for_and_so_does_the_status() {
    let mut world = World::with_contoso().await;
    let majority = WaitsFor::Majority { voters: 2, silent: vec![NodeId(3)] };
    let pending = Pending { change: MemberChange::LoseVote, waits_for: Some(majority) };
    world.fake.set(|script| {
        script.unheard = vec![3];
        script.pending.insert(2, pending);
    });
    let drain = |context| v1::DrainAgentRequest { context, agent: "b".to_owned(), undo: false };
    let dry_run = context().map(|context| v1::ChangeContext { dry_run: true, ..context });
    let forecast = world.cluster.drain_agent(drain(dry_run)).await.expect("is forecast");
    let drained = world.cluster.drain_agent(drain(context())).await.expect("is accepted");
    assert_eq!(forecast.get_ref().waits, drained.get_ref().waits);
    let [vote, units] = &drained.get_ref().waits[..] else { panic!("{drained:?}") };
    assert_eq!(
        vote.cause,
        "b keeps its vote for now: afterwards only 1 of 2 voters would respond, without c; 2 are \
         needed"
    );
    assert_eq!(
        vote.next_step,
        "start c; if it is lost, remove it with `meridian cluster remove c`"
    );
    assert_eq!((vote.reason.as_str(), vote.subject.as_str()), ("NO_MAJORITY", "agents/b"));
    assert_eq!(
        units.cause,
        "no agent in eastus takes units anymore: no capacity is left there for contoso, and no \
         other region replaces it"
    );
    assert_eq!(
        (units.reason.as_str(), units.subject.as_str()),
        ("CAPACITY_LOST", "regions/eastus")
    );

    let warnings = status(&mut world).await.warnings;
    let same = |warning: &v1::Warning| {
        (&warning.message, &warning.next_step) == (&vote.cause, &vote.next_step)
            && (&warning.reason, &warning.subject) == (&vote.reason, &vote.subject)
    };
    assert!(warnings.iter().any(same), "{warnings:?}");
    let members = world.cluster.list_members(v1::ListMembersRequest {}).await;
    let members = members.expect("is listed").into_inner().members;
    assert_eq!((members[1].next.as_str(), members[1].waits_for.as_ref()), ("loseVote", Some(vote)));
    assert_eq!((members[2].next.as_str(), members[2].last_contact_is_bound), ("stay", true));
    assert!(!members[1].last_contact_is_bound);
}

#[tokio::test]
async fn a_removed_agent_that_still_leads_counts_as_a_voter_and_has_its_member_id() {
    let mut world = World::new().await;
    world.fake.set(|script| {
        script.mute = vec!["c".to_owned()];
        script.orphaned_leader = Some(2);
    });
    let request = v1::RemoveAgentRequest { context: context(), agent: "b".to_owned() };
    world.cluster.remove_agent(request).await.expect("is removed");
    let status = status(&mut world).await;
    assert_eq!(status.leader, "0000000000000002");
    assert!(!reasons(&status).contains(&"NO_QUORUM"), "{status:?}");
}

#[tokio::test]
async fn every_membership_change_reports_what_it_waits_for() {
    let mut world = World::with_contoso().await;
    let (gains, loses) = (MemberChange::GainVote, MemberChange::LoseVote);
    let restart = "start b; if it is lost, remove it with `meridian cluster remove b`";
    let wait = "wait: it catches up on its own, see `meridian status`";
    for (change, waits_for, reason, message, next_step) in [
        (
            gains,
            WaitsFor::Response,
            "NO_RESPONSE",
            "b cannot become a voter yet: it does not respond to the leader",
            restart,
        ),
        (
            gains,
            WaitsFor::CatchUp { behind: Some(5_000) },
            "CATCHING_UP",
            "b cannot become a voter yet: it lacks 5000 log entries",
            wait,
        ),
        (
            gains,
            WaitsFor::CatchUp { behind: None },
            "CATCHING_UP",
            "b cannot become a voter yet: it has no log entries yet",
            wait,
        ),
        (
            loses,
            WaitsFor::Replacement { by: vec![NodeId(3)] },
            "NO_REPLACEMENT",
            "b keeps its vote for now: c is to replace it and is not ready to vote",
            "see `meridian cluster members` for what c waits for",
        ),
        (
            loses,
            WaitsFor::TransferTarget { among: vec![NodeId(1), NodeId(3)] },
            "NO_TRANSFER_TARGET",
            "b keeps its vote for now: it leads, and a or c is not ready to take over",
            "see `meridian status`: a or c must respond and catch up",
        ),
        (
            MemberChange::Leave,
            WaitsFor::Response,
            "NO_RESPONSE",
            "b was removed and remains a member for now: it does not respond to the leader",
            restart,
        ),
    ] {
        let pending = Pending { change, waits_for: Some(waits_for) };
        world.fake.set(|script| script.pending = [(2, pending)].into());
        let warnings = status(&mut world).await.warnings;
        let [warning] = warnings.as_slice() else { panic!("{reason}: {warnings:?}") };
        let texts = (warning.message.as_str(), warning.next_step.as_str());
        assert_eq!((warning.reason.as_str(), texts), (reason, (message, next_step)));
    }
    let in_progress = Pending { change: loses, waits_for: None };
    world.fake.set(|script| script.pending = [(2, in_progress)].into());
    assert_eq!(status(&mut world).await.warnings, []);
}

#[tokio::test]
async fn few_voters_and_no_leader_are_warnings() {
    let mut world = World::new().await;
    let request = v1::RemoveAgentRequest { context: context(), agent: "c".to_owned() };
    world.cluster.remove_agent(request).await.expect("is removed");
    world.fake.set(|script| script.leaderless = true);
    let status = status(&mut world).await;
    assert_eq!(status.leader, "");
    assert_eq!(reasons(&status), ["NO_LEADER", "FEW_VOTERS"]);
    assert_eq!(
        status.warnings[1].message,
        "2 voters: with fewer than 3, losing one stops all changes"
    );
    assert_eq!(status.health(), v1::Health::ChangesRefused);
}
