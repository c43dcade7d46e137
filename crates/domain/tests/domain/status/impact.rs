//! Impact of changes.

use std::time::Duration;

use meridian_domain::status::impact::{self, Decommission, Impact};
use meridian_domain::status::{
    LastContact, Member, MemberChange, Next, Pending, PendingMember, Role, WaitsFor,
};
use meridian_domain::{Command, NodeId};

use super::{healthy, settled};
use crate::world::{add, agent, agent_name, region, service};

#[test]
fn edits_have_an_impact_in_regions_without_an_agent() {
    let mut world = settled();
    world.edit([add("japaneast", 1), add("southeastasia", 1)]);
    let edited = ["japaneast", "southeastasia"].map(region).into();
    let impact = impact::of_edits(&world.state, &edited);
    assert_eq!(impact, [Impact::UnitsWithoutAgent { region: region("japaneast") }]);
}

#[test]
fn a_decommission_has_an_impact_on_the_vote_and_on_the_last_capacity_of_a_region() {
    let mut world = settled();
    let eastus = Decommission::drain(&world.state, &agent_name("eastus")).expect("is an agent");
    world.apply(Command::DrainAgent { agent: agent_name("eastus") });
    let mut members = healthy(&world).members;
    let lost =
        Impact::CapacityLost { region: region("eastus"), services: vec![service("contoso")] };
    let impact = impact::of_decommission(&world.state, &members, &eastus);
    assert_eq!(impact, std::slice::from_ref(&lost));

    let (change, waits_for) = (MemberChange::LoseVote, WaitsFor::Response);
    let pending = Pending { change, waits_for: Some(waits_for.clone()) };
    members.get_mut(&NodeId(2)).expect("is a member").next = Some(Next::Change(pending));
    let vote = Impact::MemberPending(PendingMember { node: NodeId(2), change, waits_for });
    assert_eq!(impact::of_decommission(&world.state, &members, &eastus), [vote, lost]);

    world.apply(Command::RegisterAgent(agent("eastus-2", 4, "eastus")));
    members.clear();
    assert_eq!(impact::of_decommission(&world.state, &members, &eastus), []);
    assert_eq!(Decommission::removal(&world.state, &agent_name("nobody")), None);
}

#[test]
fn the_impact_of_a_decommission_is_forecast() {
    let mut world = settled();
    let limit = Duration::from_secs(1);
    let eastus = Decommission::removal(&world.state, &agent_name("eastus")).expect("is an agent");
    let lost =
        Impact::CapacityLost { region: region("eastus"), services: vec![service("contoso")] };
    let mut members = healthy(&world).members;
    let forecast = impact::forecast(&world.state, &members, &eastus, limit);
    assert_eq!(forecast, std::slice::from_ref(&lost));

    let silent = members.values_mut().rfind(|member| member.role == Role::Follower);
    let silent = silent.expect("there are followers");
    silent.last_contact = Some(LastContact::Ago(limit));
    let waits_for = WaitsFor::Majority { voters: 2, silent: vec![silent.node] };
    let (node, change) = (NodeId(2), MemberChange::Leave);
    let vote = Impact::MemberPending(PendingMember { node, change, waits_for });
    let forecast = impact::forecast(&world.state, &members, &eastus, limit);
    assert_eq!(forecast, [vote.clone(), lost]);

    // Another agent takes the units over. It also takes over the vote of a drained agent, once it
    // responds, and that of a removed one only afterwards.
    world.apply(Command::RegisterAgent(agent("eastus-2", 4, "eastus")));
    let forecast = |decommission| impact::forecast(&world.state, &members, decommission, limit);
    assert_eq!(forecast(&eastus), [vote]);
    let drain = Decommission::drain(&world.state, &agent_name("eastus")).expect("is an agent");
    let (change, waits_for) =
        (MemberChange::LoseVote, WaitsFor::Replacement { by: vec![NodeId(4)] });
    let waits = Impact::MemberPending(PendingMember { node, change, waits_for });
    assert_eq!(forecast(&drain), [waits]);
    let learner = Member {
        node: NodeId(4),
        role: Role::Learner,
        voter: false,
        last_contact: Some(LastContact::Ago(Duration::ZERO)),
        next: None,
    };
    let members = [(NodeId(4), learner)].into_iter().chain(members).collect();
    assert_eq!(impact::forecast(&world.state, &members, &drain, limit), []);
}
