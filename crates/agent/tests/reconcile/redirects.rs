//! Targets to which the units of a disabled gateway redirect.

use std::time::Duration;

use meridian_domain::reachability::{Gateways, LossVotes, ProberGroup};
use meridian_domain::report::{Report, ReportedUnit, UnitStatus};
use meridian_domain::routing::RedirectTarget;
use meridian_domain::{
    Address, AgentDescription, AgentName, Command, DataVersion, DnsSettings, Edit, Generation,
    Incarnation, NodeId, RegionName, Sequence, WhenDisabled, Zones,
};
use meridian_ports::Read as _;

use crate::world::{ProcessRun, World, region, service};

/// Other regions, the closest first. Each has an agent of the same name.
const OTHERS: [&str; 2] = ["eastus", "southeastasia"];
const ZONE: &str = "gateways.example.net";

fn region_named(name: &str) -> RegionName {
    RegionName::new(name).unwrap()
}

fn other_agent(name: &str, node: u64) -> AgentDescription {
    let address = |port: u16| Address::new(format!("127.0.1.{node}:{port}")).unwrap();
    AgentDescription {
        name: AgentName::new(name).unwrap(),
        node: NodeId(node),
        region: region_named(name),
        zone: None,
        witness: false,
        client_address: address(7400),
        peer_address: address(7401),
        gateway_host: format!("127.0.1.{node}"),
        supports: DataVersion::SUPPORTED,
    }
}

fn edit(world: &World, edits: impl Into<Vec<Edit>>) {
    let (service, edits) = (service("contoso"), edits.into());
    world.log.commit(Command::ChangeService { service, expected: None, edits });
}

fn set_zone(world: &World, zone: Option<&str>) {
    let zone = zone.map(|zone| zone.parse().unwrap());
    world.log.commit(Command::SetDns { settings: DnsSettings { zone, ..DnsSettings::default() } });
}

/// Reports the units of another agent ready.
fn report_ready(world: &World, name: &str) {
    let agent = AgentName::new(name).unwrap();
    let report = {
        let state = world.log.state();
        let configuration = state.services[&service("contoso")].configuration;
        let ready = |unit: &meridian_domain::Unit| ReportedUnit {
            unit: unit.id.clone(),
            incarnation: unit.incarnation,
            status: UnitStatus::Ready { pid: Some(7), configuration, refused: None },
            replace: false,
        };
        Report {
            units: state.units_on(&agent).map(ready).collect(),
            agent,
            generation: Generation(1),
            sequence: Sequence(1),
            after: Incarnation(0),
            observed: state.header.revision,
        }
    };
    world.log.commit(Command::Report(report));
}

/// Loses all gateways of another agent.
fn lose(world: &World, name: &str, unreachable_from: [&str; 2]) {
    let groups = unreachable_from.map(|name| ProberGroup::Region(region_named(name)));
    world.log.commit(Command::LoseGateways(LossVotes {
        agent: AgentName::new(name).unwrap(),
        generation: Generation(0),
        gateways: Gateways::All,
        unreachable_from: groups.into(),
        relapses: 0,
    }));
}

/// Starts the agent with `contoso` in three regions, and disables the gateway of its own.
async fn disabled(when_disabled: WhenDisabled) -> (World, ProcessRun) {
    let mut world = World::contoso(1);
    for (name, node) in OTHERS.into_iter().zip(2..) {
        world.log.commit(Command::RegisterAgent(other_agent(name, node)));
        let (region, zones) = (region_named(name), Zones::new());
        edit(&world, [Edit::Add { region, units: 1, zones }]);
        report_ready(&world, name);
    }
    set_zone(&world, Some(ZONE));
    edit(&world, [Edit::WhenDisabled(when_disabled)]);
    let agent = world.converged_agent().await;
    edit(&world, [Edit::Disable { region: region() }]);
    world.until("the gateway is disabled", || !served(&world).0).await;
    (world, agent)
}

/// Returns whether the gateway of the unit is enabled, and its target.
fn served(world: &World) -> (bool, Option<String>) {
    let configuration = world.machine.serves(world.wanted()[0]).unwrap();
    (configuration.enabled, configuration.redirect.as_ref().map(RedirectTarget::to_string))
}

async fn until_target(world: &World, expected: Option<&str>) {
    let expected = expected.map(|name| format!("{name}.contoso.regional.{ZONE}:8080"));
    let what = format!("the target is {expected:?}");
    world.until(&what, || served(world) == (false, expected.clone())).await;
}

#[tokio::test(start_paused = true)]
async fn the_target_follows_the_regions_that_serve() {
    let (world, _agent) = disabled(WhenDisabled::Redirect).await;
    until_target(&world, Some("eastus")).await;
    lose(&world, "eastus", ["westeurope", "southeastasia"]);
    until_target(&world, Some("southeastasia")).await;
    edit(&world, [Edit::Disable { region: region_named("southeastasia") }]);
    until_target(&world, None).await;
    edit(&world, [Edit::Enable { region: region_named("southeastasia") }]);
    until_target(&world, Some("southeastasia")).await;
    let found =
        Command::FindGateways { agent: AgentName::new("eastus").unwrap(), gateways: Gateways::All };
    world.log.commit(found);
    until_target(&world, Some("eastus")).await;
    edit(&world, [Edit::Enable { region: region() }]);
    world.until("the gateway is enabled", || served(&world) == (true, None)).await;
}

#[tokio::test(start_paused = true)]
async fn the_target_follows_the_settings() {
    let (world, _agent) = disabled(WhenDisabled::Refuse).await;
    until_target(&world, None).await;
    edit(&world, [Edit::WhenDisabled(WhenDisabled::Redirect)]);
    until_target(&world, Some("eastus")).await;
    set_zone(&world, None);
    until_target(&world, None).await;
    set_zone(&world, Some("example.org"));
    let expected = Some("eastus.contoso.regional.example.org:8080".to_owned());
    world.until("the zone has changed", || served(&world) == (false, expected.clone())).await;
    assert_eq!(world.machine.starts().len(), 1, "no unit was restarted");
    let newest = world.log.state().services[&service("contoso")].configuration;
    let is_reported = || world.units()[0].configuration() == Some(newest);
    world.until("the configuration is reported", is_reported).await;
    let quiet = world.run_for(Duration::from_secs(60)).await;
    assert_eq!(quiet, (0, 0), "nothing is written afterwards");
}

#[tokio::test(start_paused = true)]
async fn without_a_quorum_a_restarted_unit_redirects_to_its_last_target() {
    let (mut world, agent) = disabled(WhenDisabled::Redirect).await;
    until_target(&world, Some("eastus")).await;
    agent.kill().await;
    let unit = world.wanted()[0];
    let served = world.machine.serves(unit);
    world.machine.crash(unit);
    world.restart_with(meridian_domain::State::default());
    let _agent = world.agent();
    world.until("the unit has restarted", || world.machine.ready() == [unit]).await;
    assert_eq!(world.machine.serves(unit), served);
}
