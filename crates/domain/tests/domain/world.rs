//! A cluster state to apply commands to.

use meridian_domain::evolve::evolve;
use meridian_domain::reachability::{Evidence, Gateways, ProberGroup};
use meridian_domain::report::{Report, ReportedUnit, UnitStatus};
use meridian_domain::*;

#[derive(Clone, Default)]
pub struct World {
    pub state: State,
}

impl World {
    pub fn bootstrapped() -> Self {
        let mut world = Self::default();
        world.apply(Command::BootstrapCluster { cluster: cluster(1), agents: vec![] });
        world
    }

    /// Returns a cluster with one agent in each of three regions, and the premium service `contoso`
    /// in the first region.
    pub fn contoso() -> Self {
        let mut world = Self::bootstrapped();
        for (node, place) in (1..).zip(["westeurope", "eastus", "southeastasia"]) {
            world.apply(Command::RegisterAgent(agent(place, node, place)));
        }
        world.apply(create("contoso", Tier::Premium, "westeurope"));
        world
    }

    /// Applies a command and returns its events.
    pub fn apply(&mut self, command: Command) -> Vec<Event> {
        let events = decide(&self.state, &command).expect("the command is accepted");
        for event in &events {
            let revision = self.state.header.revision.next();
            evolve(&mut self.state, revision, event);
        }
        events
    }

    /// Records the loss of gateways of an agent, agreed by two of two groups.
    pub fn lose(&mut self, agent: &str, gateways: Gateways) {
        let groups = ["one", "other"].map(|name| ProberGroup::Region(region(name)));
        let evidence = Evidence { unreachable_from: groups.into(), groups: 2 };
        let agent = agent_name(agent);
        let event = Event::GatewaysLost { agent, gateways, evidence, relapses: 0 };
        let revision = self.state.header.revision.next();
        evolve(&mut self.state, revision, &event);
    }

    /// Returns the messages of the rejections of a command.
    pub fn rejections(&self, command: Command) -> Vec<String> {
        let rejections = decide(&self.state, &command).expect_err("the command is rejected");
        rejections.iter().map(Rejection::to_string).collect()
    }

    /// Applies a change set to `contoso`.
    pub fn edit(&mut self, edits: impl Into<Vec<Edit>>) -> Vec<Event> {
        self.apply(change(edits))
    }

    pub fn service(&self) -> &Service {
        &self.state.services[&service("contoso")]
    }

    /// Returns the slots and agents of the current units of a location of `contoso`.
    pub fn placed(&self, place: &str) -> Vec<(u16, String)> {
        let (service, region) = (service("contoso"), region(place));
        let units = self.state.current_units(&service, &region);
        units.map(|unit| (unit.id.slot, unit.agent.to_string())).collect()
    }

    /// Applies a report in which the active units of an agent are ready and the draining ones have
    /// stopped.
    pub fn report_all_ready(&mut self, name: &str) -> Vec<Event> {
        let agent = agent_name(name);
        let last = self.state.agents[&agent].last_report.1;
        let configuration = self.service().configuration;
        let ready = UnitStatus::Ready { pid: Some(7), configuration, refused: None };
        let mut report = self.report(name, last.0 + 1, ready);
        let wanted =
            |row: &ReportedUnit| self.state.units[&(row.unit.clone(), row.incarnation)].is_wanted();
        report.units.retain(wanted);
        let events = self.apply(Command::Report(report));
        let known = self.state.agents.get_mut(&agent).expect("the agent is registered");
        known.last_report.1 = Sequence(last.0 + 1);
        events
    }

    /// Returns a report of an agent with all its units in the same status.
    pub fn report(&self, name: &str, sequence: u64, status: UnitStatus) -> Report {
        let agent = agent_name(name);
        let row = |unit: &Unit| ReportedUnit {
            unit: unit.id.clone(),
            incarnation: unit.incarnation,
            status: status.clone(),
            replace: false,
        };
        Report {
            units: self.state.units_on(&agent).map(row).collect(),
            agent,
            generation: Generation(1),
            sequence: Sequence(sequence),
            after: Incarnation(0),
            observed: self.state.header.revision,
        }
    }
}

pub fn cluster(number: u128) -> ClusterId {
    ClusterId(uuid::Uuid::from_u128(number))
}

pub fn region(name: &str) -> RegionName {
    RegionName::new(name).expect("valid region name")
}

pub fn service(name: &str) -> ServiceName {
    ServiceName::new(name).expect("valid service name")
}

pub fn agent_name(name: &str) -> AgentName {
    AgentName::new(name).expect("valid agent name")
}

pub fn zone(number: u8) -> Zone {
    number.try_into().expect("valid zone")
}

pub fn zones(numbers: &[u8]) -> Zones {
    numbers.iter().copied().map(zone).collect()
}

pub fn agent(name: &str, node: u64, place: &str) -> AgentDescription {
    let address =
        |port: u16| Address::new(format!("127.0.1.{node}:{port}")).expect("valid address");
    AgentDescription {
        name: agent_name(name),
        node: NodeId(node),
        region: region(place),
        zone: None,
        witness: false,
        client_address: address(7400),
        peer_address: address(7401),
        gateway_host: format!("127.0.1.{node}"),
        supports: DataVersion::SUPPORTED,
    }
}

pub fn create(name: &str, tier: Tier, primary: &str) -> Command {
    Command::CreateService {
        service: service(name),
        tier,
        primary: region(primary),
        port: None,
        when_disabled: WhenDisabled::Refuse,
    }
}

pub fn change(edits: impl Into<Vec<Edit>>) -> Command {
    Command::ChangeService { service: service("contoso"), expected: None, edits: edits.into() }
}

pub fn add(name: &str, units: u16) -> Edit {
    Edit::Add { region: region(name), units, zones: Zones::new() }
}

pub fn scale(name: &str, units: u16) -> Edit {
    Edit::Scale { region: region(name), units: Some(units), zones: None }
}

pub fn spread(name: &str, over: &[u8]) -> Edit {
    Edit::Scale { region: region(name), units: None, zones: Some(zones(over)) }
}

pub fn set(name: &str, units: u16) -> Edit {
    Edit::Set { region: region(name), units }
}

pub fn remove(name: &str) -> Edit {
    Edit::Remove { region: region(name) }
}

pub fn promote(name: &str) -> Edit {
    Edit::Promote { region: region(name) }
}

pub fn api(name: &str, path: &str, backend: &str) -> Api {
    Api {
        name: ApiName::new(name).expect("valid API name"),
        path: ApiPath::new(path).expect("valid path"),
        backend: BackendUrl::new(backend).expect("valid backend"),
        regional: std::collections::BTreeMap::new(),
        timeouts: api::Timeouts::default(),
    }
}

pub fn publish(name: &str, path: &str, backend: &str) -> Edit {
    Edit::PublishApi(api(name, path, backend))
}

pub fn types(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(Event::type_name).collect()
}
