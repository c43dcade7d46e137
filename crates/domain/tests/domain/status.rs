//! Status of units, locations, agents and the cluster, from a state and observations.

mod cluster;
mod impact;
mod locations;
mod lost;

use std::time::Duration;

use meridian_domain::status::{
    AgentCondition, AgentResponse, LastContact, MedianRoundTrips, Member, Next, Observations,
    Progress, Role, SharedSettings, Silence, Source, UnitCondition, UnitLoads,
};
use meridian_domain::{Digest, NodeId, UnitPhase, status};

pub(crate) use locations::location;

use crate::world::{World, add, agent_name, scale};

const LIMIT: Duration = Duration::from_secs(5);
const MINUTE: Duration = Duration::from_secs(60);
const NOW: LastContact = LastContact::Ago(Duration::ZERO);

/// `contoso` in westeurope with 1 unit and in eastus with 2, all of them ready.
fn settled() -> World {
    let mut world = World::contoso();
    world.edit([add("eastus", 2)]);
    world.report_all_ready("westeurope");
    world.report_all_ready("eastus");
    world
}

/// Observations of a leader, node 1, with these contacts, and responses of all agents.
fn led(world: &World, contacts: &[(u64, LastContact)]) -> Observations {
    let member = |(node, contact): &(u64, LastContact)| {
        let (node, voter) = (NodeId(*node), true);
        let role = if node == NodeId(1) { Role::Leader } else { Role::Follower };
        let (last_contact, next) = (Some(*contact), Some(Next::Stay));
        (node, Member { node, role, voter, last_contact, next })
    };
    let responses = world.state.agents.keys().map(|agent| {
        let progress = Progress {
            revision: world.state.header.revision,
            applied: 7,
            state: Digest([0; 32]),
            events: Digest([0; 32]),
        };
        let position = Some(progress);
        (
            agent.clone(),
            AgentResponse {
                agent: agent.clone(),
                position,
                lag: None,
                disk: None,
                duplicated: false,
                settings: SharedSettings::new(),
            },
        )
    });
    Observations {
        contacted: NodeId(1),
        leader: Some(NodeId(1)),
        leader_contact: Some(Duration::ZERO),
        unreachable_after: LIMIT,
        members: contacts.iter().map(member).collect(),
        responses: responses.collect(),
        loads: UnitLoads::new(),
        round_trips: MedianRoundTrips::default(),
        votes: Vec::new(),
    }
}

pub fn healthy(world: &World) -> Observations {
    led(world, &[(1, NOW), (2, NOW), (3, NOW)])
}

/// Observations of a node to which no leader responds.
fn leaderless(world: &World, mute: &[&str]) -> Observations {
    let mut observations = healthy(world);
    for member in observations.members.values_mut() {
        (member.last_contact, member.next) = (None, None);
    }
    for agent in mute {
        let response = observations.responses.get_mut(&agent_name(agent)).expect("is an agent");
        response.position = None;
    }
    Observations { leader: Some(NodeId(2)), leader_contact: Some(MINUTE), ..observations }
}

#[test]
fn an_agent_is_unreachable_after_twice_the_maximum_election_timeout_without_an_acknowledgement() {
    let world = settled();
    let eastus = &world.state.agents[&agent_name("eastus")];
    let just_below = LIMIT - Duration::from_millis(1);
    let unreachable = |silence| AgentCondition::Unreachable { silence };
    for (contact, expected) in [
        (LastContact::Ago(just_below), AgentCondition::Reachable),
        (LastContact::Ago(LIMIT), unreachable(Silence::Exactly(LIMIT))),
        (LastContact::NotWithin(just_below), AgentCondition::Reachable),
        (LastContact::NotWithin(MINUTE), unreachable(Silence::AtLeast(MINUTE))),
    ] {
        let observations = led(&world, &[(1, NOW), (2, contact), (3, NOW)]);
        assert_eq!(status::agent(&observations, eastus), expected, "{contact:?}");
        assert_eq!(observations.source(), Source::Leader);
    }
}

#[test]
fn an_agent_unheard_by_a_new_leader_is_unreachable_if_it_does_not_respond_either() {
    let world = settled();
    let eastus = &world.state.agents[&agent_name("eastus")];
    let elected = Duration::from_millis(100);
    let mut observations = led(&world, &[(1, NOW), (2, LastContact::NotWithin(elected)), (3, NOW)]);
    assert!(observations.needs_responses());
    assert_eq!(status::agent(&observations, eastus), AgentCondition::Reachable);
    let response = observations.responses.get_mut(&agent_name("eastus")).expect("is there");
    response.position = None;
    let silence = Silence::AtLeast(elected);
    assert_eq!(status::agent(&observations, eastus), AgentCondition::Unreachable { silence });
    assert!(!healthy(&world).needs_responses());
    assert!(leaderless(&world, &[]).needs_responses());
}

#[test]
fn an_agent_that_is_not_a_member_yet_counts_as_reachable() {
    let world = settled();
    let observations = led(&world, &[(1, NOW)]);
    let eastus = &world.state.agents[&agent_name("eastus")];
    assert_eq!(status::agent(&observations, eastus), AgentCondition::Reachable);
}

#[test]
fn without_a_leader_the_responses_to_the_contacted_node_decide() {
    let world = settled();
    let observations = leaderless(&world, &["eastus", "southeastasia"]);
    assert_eq!((observations.source(), observations.observer()), (Source::Contacted, NodeId(1)));
    for (name, expected) in [
        ("westeurope", AgentCondition::Reachable),
        // The contacted node followed it, so it knows since when it is silent.
        ("eastus", AgentCondition::Unreachable { silence: Silence::Exactly(MINUTE) }),
        ("southeastasia", AgentCondition::Unreachable { silence: Silence::Unmeasured }),
    ] {
        let agent = &world.state.agents[&agent_name(name)];
        assert_eq!(status::agent(&observations, agent), expected, "{name}");
    }
}

#[test]
fn an_agent_that_does_not_respond_may_only_be_slow_if_a_leader_was_just_heard_from() {
    let world = settled();
    let observations = leaderless(&world, &["eastus"]);
    let heard = Some(LIMIT - Duration::from_millis(1));
    let observations = Observations { leader_contact: heard, ..observations };
    let eastus = &world.state.agents[&agent_name("eastus")];
    assert_eq!(status::agent(&observations, eastus), AgentCondition::NotResponding);
}

#[test]
fn a_unit_has_the_phase_that_its_agent_reported_unless_the_agent_is_unreachable() {
    let mut world = settled();
    world.edit([scale("eastus", 3)]);
    let configuration = world.service().configuration;
    let units: Vec<_> = world.state.units_on(&agent_name("eastus")).cloned().collect();
    let conditions = |observations: &Observations| -> Vec<bool> {
        let of = |unit| match status::unit(&world.state, observations, unit) {
            UnitCondition::Reported(UnitPhase::Ready {
                pid,
                configuration: served,
                refused: None,
            }) => {
                assert_eq!((*pid, *served), (Some(7), configuration));
                true
            }
            UnitCondition::Reported(UnitPhase::Starting) => false,
            other => panic!("{other:?}"),
        };
        units.iter().map(of).collect()
    };
    assert_eq!(conditions(&healthy(&world)), [true, true, false]);

    let silent = led(&world, &[(1, NOW), (2, LastContact::Ago(MINUTE)), (3, NOW)]);
    for unit in &units {
        let condition = status::unit(&world.state, &silent, unit);
        let silence = Silence::Exactly(MINUTE);
        assert_eq!(condition, UnitCondition::Unknown { silence });
        assert!(!condition.is_ready());
    }
}
