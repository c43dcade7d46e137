//! Status of the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use meridian_domain::reachability::votes::VoteCount;
use meridian_domain::reachability::{Gateways, ProberGroup};
use meridian_domain::report::{ReportedUnit, UnitStatus};
use meridian_domain::status::{
    Condition, DiskSpace, Health, LastContact, MedianRoundTrips, MemberChange, Next, Observations,
    Pending, PendingMember, Progress, Severity, SharedSetting, Silence, WaitsFor,
};
use meridian_domain::{
    Command, Digest, DnsSettings, Generation, NodeId, Revision, Timestamp, UnitPhase, status,
};

use super::{MINUTE, NOW, healthy, leaderless, led, settled};
use crate::world::{World, add, agent_name, region, service};

fn kinds(status: &status::ClusterStatus) -> Vec<&'static str> {
    let kind = |condition: &Condition| match condition {
        Condition::NoQuorum { .. } => "no quorum",
        Condition::NoLeader => "no leader",
        Condition::LocalView { .. } => "local view",
        Condition::PartlyUnreachable { .. } => "partly unreachable",
        Condition::StatesDiffer { .. } => "states differ",
        Condition::SettingDiffers { .. } => "setting differs",
        Condition::AgentUnreachable { .. } => "agent unreachable",
        Condition::DiskLow { .. } => "disk low",
        Condition::AgentDuplicated { .. } => "agent duplicated",
        Condition::LongRoundTrip { .. } => "long round trip",
        Condition::MemberPending(_) => "member pending",
        Condition::AgentNotResponding { .. } => "agent not responding",
        Condition::Location { .. } => "location",
        Condition::ServiceUnavailable { .. } => "service unavailable",
        Condition::FewVoters { .. } => "few voters",
    };
    status.conditions.iter().map(kind).collect()
}

#[test]
fn a_healthy_cluster_has_no_conditions() {
    let world = settled();
    let status = status::cluster(&world.state, &healthy(&world));
    assert_eq!((status.conditions.len(), status.health()), (0, Health::Healthy));
}

#[test]
fn the_conditions_of_a_cluster_are_sorted_worst_first() {
    let mut world = settled();
    world.edit([add("japaneast", 1)]);
    let silent = LastContact::Ago(MINUTE);
    let lost = led(&world, &[(1, NOW), (2, silent), (3, silent)]);
    let status = status::cluster(&world.state, &lost);
    assert_eq!(
        kinds(&status),
        ["no quorum", "agent unreachable", "agent unreachable", "location", "location"]
    );
    let expected = Condition::NoQuorum { reachable: 1, voters: 3, needed: 2 };
    assert_eq!(status.conditions[0], expected);
    let (agent, region) = (agent_name("eastus"), region("eastus"));
    let silence = Silence::Exactly(MINUTE);
    let expected = Condition::AgentUnreachable { agent, region, silence, units: 2 };
    assert_eq!(status.conditions[1], expected);
    assert_eq!(status.health(), Health::ChangesRefused);
    assert!(status.conditions.is_sorted_by_key(|it| std::cmp::Reverse(it.severity())));
}

#[test]
fn one_unreachable_agent_of_three_degrades_the_cluster() {
    let world = settled();
    let silent = led(&world, &[(1, NOW), (2, NOW), (3, LastContact::NotWithin(MINUTE))]);
    let status = status::cluster(&world.state, &silent);
    assert_eq!(kinds(&status), ["agent unreachable"]);
    assert_eq!(status.health(), Health::Degraded);
}

#[test]
fn an_agent_that_does_not_respond_is_a_condition_before_it_is_unreachable() {
    let world = settled();
    let mut observations = healthy(&world);
    let response = observations.responses.get_mut(&agent_name("eastus")).expect("is there");
    response.position = None;
    let status = status::cluster(&world.state, &observations);
    assert_eq!(kinds(&status), ["agent not responding"]);
    assert_eq!(status.health(), Health::Degraded);
}

#[test]
fn without_a_leader_changes_are_refused_even_if_a_quorum_is_reachable() {
    let world = settled();
    let electing = status::cluster(&world.state, &leaderless(&world, &["eastus"]));
    assert_eq!(kinds(&electing)[0], "no leader");
    let isolated = status::cluster(&world.state, &leaderless(&world, &["eastus", "southeastasia"]));
    assert_eq!(kinds(&isolated)[0], "no quorum");
    // The leader responds; only its contacts did not arrive in time.
    let slow = status::cluster(&world.state, &leaderless(&world, &[]));
    assert_eq!((kinds(&slow).len(), slow.health()), (0, Health::Healthy));
}

#[test]
fn without_a_leader_names_are_given_by_a_local_view_whose_age_is_shown() {
    let mut world = settled();
    let without_zone = status::cluster(&world.state, &leaderless(&world, &["eastus"]));
    assert!(!kinds(&without_zone).contains(&"local view"));
    let zone = Some("gateways.example.net".parse().expect("valid zone"));
    let settings = DnsSettings { zone, ..DnsSettings::default() };
    world.apply(Command::SetDns { settings });
    let electing = status::cluster(&world.state, &leaderless(&world, &["eastus"]));
    assert!(electing.conditions.contains(&Condition::LocalView { age: Some(MINUTE) }));
    let fresh =
        Observations { leader_contact: Some(Duration::ZERO), ..leaderless(&world, &["eastus"]) };
    assert!(!kinds(&status::cluster(&world.state, &fresh)).contains(&"local view"));
    assert_eq!(kinds(&status::cluster(&world.state, &healthy(&world))), [""; 0]);
}

#[test]
fn gateways_that_a_minority_fails_to_reach_are_named_until_they_are_lost() {
    let mut world = settled();
    let from = |regions: &[&str]| -> BTreeSet<_> {
        regions.iter().map(|name| ProberGroup::Region(region(name))).collect()
    };
    let seen = |world: &World, unreachable_from| {
        let votes = VoteCount {
            agent: agent_name("westeurope"),
            generation: Generation(1),
            gateways: Gateways::All,
            unreachable_from,
            reached_from: BTreeSet::new(),
            groups: 2,
        };
        let observations = Observations { votes: vec![votes], ..healthy(world) };
        status::cluster(&world.state, &observations)
    };
    assert_eq!(kinds(&seen(&world, from(&[]))), [""; 0]);
    let minority = seen(&world, from(&["eastus"]));
    let expected = Condition::PartlyUnreachable {
        agent: agent_name("westeurope"),
        gateways: Gateways::All,
        unreachable_from: from(&["eastus"]),
        groups: 2,
    };
    assert_eq!((minority.health(), minority.conditions), (Health::Degraded, vec![expected]));
    assert_eq!(kinds(&seen(&world, from(&["eastus", "southeastasia"]))), [""; 0]);
    world.lose("westeurope", Gateways::All);
    assert!(!kinds(&seen(&world, from(&["eastus"]))).contains(&"partly unreachable"));
}

#[test]
fn a_removed_agent_that_still_leads_counts_as_a_reachable_voter() {
    let mut world = settled();
    world.apply(Command::RemoveAgent { agent: agent_name("southeastasia") });
    let observations = led(&world, &[(1, NOW), (2, LastContact::Ago(MINUTE)), (3, NOW)]);
    let observations = Observations { leader: Some(NodeId(3)), ..observations };
    let status = status::cluster(&world.state, &observations);
    assert!(!kinds(&status).contains(&"no quorum"), "{status:?}");
}

#[test]
fn agents_with_different_settings_are_named_with_their_values() {
    let world = settled();
    let mut observations = healthy(&world);
    let set = |observations: &mut Observations, agent, setting, value: &str| {
        let response = observations.responses.get_mut(&agent_name(agent)).expect("is there");
        response.settings.insert(setting, value.to_owned());
    };
    set(&mut observations, "westeurope", SharedSetting::Network, "wan");
    set(&mut observations, "eastus", SharedSetting::Network, "wan");
    for agent in ["westeurope", "eastus", "southeastasia"] {
        set(&mut observations, agent, SharedSetting::KeepEntries, "5000");
    }
    let equal = status::cluster(&world.state, &observations);
    assert_eq!(kinds(&equal), [""; 0], "an agent that did not state its value is not compared");

    set(&mut observations, "southeastasia", SharedSetting::Network, "lan");
    set(&mut observations, "eastus", SharedSetting::KeepEntries, "100");
    let differing = status::cluster(&world.state, &observations);
    assert_eq!(kinds(&differing), ["setting differs", "setting differs"]);
    let values = BTreeMap::from([
        ("lan".to_owned(), vec![agent_name("southeastasia")]),
        ("wan".to_owned(), vec![agent_name("eastus"), agent_name("westeurope")]),
    ]);
    let expected = Condition::SettingDiffers { setting: SharedSetting::Network, values };
    assert_eq!(differing.conditions[0], expected);
    let severities = differing.conditions.iter().map(Condition::severity).collect::<Vec<_>>();
    assert_eq!(severities, [Severity::Degraded, Severity::Notice]);
}

#[test]
fn a_long_round_trip_between_voters_is_a_condition() {
    let world = settled();
    let (limit, median) = (Duration::from_millis(30), Duration::from_millis(31));
    let mut observations = healthy(&world);
    observations.round_trips = MedianRoundTrips { medians: [(NodeId(2), limit)].into(), limit };
    assert_eq!(kinds(&status::cluster(&world.state, &observations)), [""; 0]);

    observations.round_trips.medians.insert(NodeId(2), median);
    let agent = agent_name("eastus");
    let expected = Condition::LongRoundTrip { observer: NodeId(1), agent, median, limit };
    let far = status::cluster(&world.state, &observations);
    assert_eq!((&far.conditions, far.health()), (&vec![expected], Health::Degraded));

    for learner in [1, 2] {
        let mut observations = observations.clone();
        observations.members.get_mut(&NodeId(learner)).expect("is a member").voter = false;
        let status = status::cluster(&world.state, &observations);
        assert!(!kinds(&status).contains(&"long round trip"), "{learner} does not vote");
    }
    let silent = LastContact::Ago(MINUTE);
    observations.members.get_mut(&NodeId(2)).expect("is a member").last_contact = Some(silent);
    let status = status::cluster(&world.state, &observations);
    assert!(!kinds(&status).contains(&"long round trip"), "the measurement is old");
}

#[test]
fn agents_that_differ_at_the_same_position_contradict_each_other() {
    let world = settled();
    let differs = |change: fn(&mut Progress)| {
        let mut observations = healthy(&world);
        let response = observations.responses.get_mut(&agent_name("eastus")).expect("is there");
        change(response.position.as_mut().expect("responded"));
        kinds(&status::cluster(&world.state, &observations)) == ["states differ"]
    };
    assert!(differs(|position| position.state = Digest([1; 32])));
    assert!(differs(|position| position.events = Digest([1; 32])));
    assert!(!differs(|position| {
        (position.state, position.events) = (Digest([1; 32]), Digest([1; 32]));
        (position.applied, position.revision) = (6, Revision(1));
    }));
}

#[test]
fn a_membership_change_that_waits_is_a_condition_and_one_in_progress_is_not() {
    let world = settled();
    let status_of = |waits_for| {
        let mut observations = healthy(&world);
        let member = observations.members.get_mut(&NodeId(2)).expect("is a member");
        let change = MemberChange::LoseVote;
        member.next = Some(Next::Change(Pending { change, waits_for }));
        status::cluster(&world.state, &observations)
    };
    assert_eq!(status_of(None).conditions, []);
    for (waits_for, severity) in [
        (WaitsFor::Response, Severity::Degraded),
        (WaitsFor::CatchUp { behind: Some(9) }, Severity::Notice),
        (WaitsFor::Majority { voters: 2, silent: vec![NodeId(3)] }, Severity::Degraded),
        (WaitsFor::Replacement { by: vec![NodeId(3)] }, Severity::Degraded),
        (WaitsFor::TransferTarget { among: vec![NodeId(1)] }, Severity::Degraded),
    ] {
        let status = status_of(Some(waits_for.clone()));
        let change = MemberChange::LoseVote;
        let pending = PendingMember { node: NodeId(2), change, waits_for };
        assert_eq!(status.conditions, [Condition::MemberPending(pending)]);
        assert_eq!(status.conditions[0].severity(), severity);
    }
}

#[test]
fn a_rollout_is_a_notice_unless_a_unit_that_fails_blocks_it() {
    let mut world = settled();
    world.apply(Command::RollUnits { service: service("contoso"), region: None });
    let status = status::cluster(&world.state, &healthy(&world));
    assert_eq!((kinds(&status), status.health()), (vec!["location"; 2], Health::Healthy));
    let (next_try, cause) = (Timestamp(5), "exit code 1".to_owned());
    let failed = UnitStatus::Failed { restarts: 2, next_try, cause };
    let mut report = world.report("eastus", 2, failed);
    let unit = |row: &ReportedUnit| &world.state.units[&(row.unit.clone(), row.incarnation)];
    report.units.retain(|row| unit(row).phase == UnitPhase::Starting);
    world.apply(Command::Report(report));
    let status = status::cluster(&world.state, &healthy(&world));
    assert_eq!((kinds(&status), status.health()), (vec!["location"; 2], Health::Degraded));
}

#[test]
fn a_low_disk_is_a_condition_and_that_of_the_leader_stops_changes() {
    let world = settled();
    let with = |agent: &str, free: u64, minimum: u64| {
        let mut observations = healthy(&world);
        let response = observations.responses.get_mut(&agent_name(agent)).expect("is an agent");
        response.disk = Some(DiskSpace { free, minimum });
        status::cluster(&world.state, &observations)
    };
    let leader = world.state.agents.values().find(|agent| agent.description.node == NodeId(1));
    let leader = leader.expect("is an agent").description.name.to_string();
    let follower = if leader == "eastus" { "westeurope" } else { "eastus" };
    for (agent, free, minimum, expected) in [
        (&*leader, 200, 100, None),
        (&*leader, 0, 0, None),
        (&*leader, 199, 100, Some(Health::Healthy)),
        (follower, 99, 100, Some(Health::Degraded)),
        (&*leader, 99, 100, Some(Health::ChangesRefused)),
        (&*leader, 99, u64::MAX, Some(Health::ChangesRefused)),
    ] {
        let status = with(agent, free, minimum);
        let kinds = kinds(&status);
        assert_eq!(
            kinds,
            expected.map_or(vec![], |_| vec!["disk low"]),
            "{agent} {free} {minimum}"
        );
        assert_eq!(status.health(), expected.unwrap_or(Health::Healthy));
    }
}

#[test]
fn few_voters_are_a_notice() {
    let world = settled();
    let observations = led(&world, &[(1, NOW), (2, NOW)]);
    let status = status::cluster(&world.state, &observations);
    assert_eq!(status.conditions, [Condition::FewVoters { voters: 2 }]);
    assert_eq!(status.health(), Health::Healthy);
}
