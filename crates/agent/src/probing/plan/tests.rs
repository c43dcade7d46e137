use std::collections::BTreeMap;

use meridian_domain::evolve::evolve;
use meridian_domain::reachability::{LossVotes, probers};
use meridian_domain::report::{Report, ReportedUnit, UnitStatus};
use meridian_domain::*;

use super::*;

/// Returns a cluster with one agent in each region, of the same name, and a premium service with a
/// ready unit in each.
fn cluster(regions: &[&str]) -> State {
    let mut state = State::default();
    let agents: Vec<_> = (1..).zip(regions).map(|(node, name)| description(name, node)).collect();
    let cluster = ClusterId(uuid::Uuid::nil());
    apply(&mut state, Command::BootstrapCluster { cluster, agents });
    let (service, primary) = (service("contoso"), region(regions[0]));
    let created = Command::CreateService {
        service,
        tier: Tier::Premium,
        primary,
        port: None,
        when_disabled: WhenDisabled::Refuse,
    };
    apply(&mut state, created);
    let edits = regions[1..].iter().map(|name| {
        let (region, zones) = (region(name), Zones::new());
        Edit::Add { region, units: 1, zones }
    });
    let (edits, expected) = (edits.collect(), None);
    let service = ServiceName::new("contoso").expect("is a name");
    apply(&mut state, Command::ChangeService { service, expected, edits });
    for name in regions {
        report_ready(&mut state, name);
    }
    state
}

fn apply(state: &mut State, command: Command) {
    for event in decide(state, &command).expect("the command is accepted") {
        evolve(state, state.header.revision.next(), &event);
    }
}

fn report_ready(state: &mut State, name: &str) {
    let agent = agent(name);
    let (pid, configuration, refused) = (None, state.header.revision, None);
    let status = UnitStatus::Ready { pid, configuration, refused };
    let units = state.units_on(&agent).map(|unit| ReportedUnit {
        unit: unit.id.clone(),
        incarnation: unit.incarnation,
        status: status.clone(),
        replace: false,
    });
    let report = Report {
        units: units.collect(),
        generation: Generation(1),
        sequence: Sequence(1),
        after: Incarnation(0),
        observed: state.header.revision,
        agent,
    };
    apply(state, Command::Report(report));
}

fn description(name: &str, node: u64) -> AgentDescription {
    AgentDescription {
        name: agent(name),
        node: NodeId(node),
        region: region(name),
        zone: None,
        witness: false,
        client_address: Address::new("127.0.0.1:7400").expect("is an address"),
        peer_address: Address::new("127.0.0.1:7401").expect("is an address"),
        gateway_host: format!("{name}.example.net"),
        supports: DataVersion::SUPPORTED,
    }
}

fn agent(name: &str) -> AgentName {
    AgentName::new(name).expect("is a name")
}

fn region(name: &str) -> RegionName {
    RegionName::new(name).expect("is a name")
}

fn service(name: &str) -> ServiceName {
    ServiceName::new(name).expect("is a name")
}

const THREE: [&str; 3] = ["westeurope", "eastus", "southeastasia"];

#[test]
fn an_agent_probes_the_ready_units_of_the_agents_on_which_it_votes() {
    let state = cluster(&THREE);
    let plans = plan(&state, &agent("eastus"), false);
    assert_eq!(plans.keys().collect::<Vec<_>>(), [&agent("southeastasia"), &agent("westeurope")]);
    let westeurope = &plans[&agent("westeurope")];
    assert_eq!(westeurope.host, "westeurope.example.net");
    assert_eq!(westeurope.ports, BTreeMap::from([(service("contoso"), BTreeSet::from([8080]))]));
    assert_eq!((westeurope.purpose, westeurope.lost.len()), (Purpose::Vote, 0));
    for own in THREE {
        for (probed, plan) in plan(&state, &agent(own), false) {
            let groups = probers(&state, &state.agents[&probed]);
            assert!(groups.values().flatten().any(|prober| **prober == agent(own)), "{plan:?}");
        }
    }
}

#[test]
fn a_third_agent_of_a_region_probes_only_while_the_leader_is_silent() {
    let mut state = cluster(&THREE);
    for (name, node) in [("eastus-2", 4), ("eastus-3", 5)] {
        let region = region("eastus");
        let registered = AgentDescription { region, ..description(name, node) };
        apply(&mut state, Command::RegisterAgent(registered));
    }
    let third = agent("eastus-3");
    assert_eq!(plan(&state, &third, false), BTreeMap::new());
    let plans = plan(&state, &third, true);
    assert_eq!(plans.len(), 3, "also those of its own region that have units");
    assert!(plans.values().all(|plan| plan.purpose == Purpose::LocalView), "{plans:?}");
    let second = plan(&state, &agent("eastus-2"), true);
    assert_eq!(second[&agent("westeurope")].purpose, Purpose::Vote);
    assert_eq!(second[&agent("eastus")].purpose, Purpose::LocalView);
}

#[test]
fn agents_without_ready_units_are_not_probed_and_current_losses_are_known() {
    let mut state = cluster(&THREE);
    let probed = &state.agents[&agent("westeurope")];
    let unreachable_from = probers(&state, probed).into_keys().collect();
    let lost = LossVotes {
        agent: agent("westeurope"),
        generation: Generation(1),
        gateways: Gateways::All,
        unreachable_from,
        relapses: 0,
    };
    apply(&mut state, Command::LoseGateways(lost));
    let plans = plan(&state, &agent("eastus"), false);
    assert_eq!(plans[&agent("westeurope")].lost, BTreeSet::from([Gateways::All]));
    let found = Command::FindGateways { agent: agent("westeurope"), gateways: Gateways::All };
    apply(&mut state, found);
    let plans = plan(&state, &agent("eastus"), false);
    assert_eq!(plans[&agent("westeurope")].lost, BTreeSet::new());

    let deleted = Command::DeleteService { service: service("contoso"), expected: None };
    apply(&mut state, deleted);
    assert_eq!(plan(&state, &agent("eastus"), true), BTreeMap::new());
}
