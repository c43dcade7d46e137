//! A cluster that commands can be tried on.

use meridian_domain::evolve::evolve;
use meridian_domain::report::{Report, ReportedUnit, UnitStatus};
use meridian_domain::*;

#[derive(Clone, Default)]
pub struct World {
    pub state: State,
}

impl World {
    pub fn founded() -> Self {
        let mut world = Self::default();
        world.does(Command::FoundCluster { cluster: cluster(1), founders: vec![] });
        world
    }

    /// Three agents, one in each region, and the premium service `contoso` in the first.
    pub fn contoso() -> Self {
        let mut world = Self::founded();
        for (node, place) in (1..).zip(["westeurope", "eastus", "southeastasia"]) {
            world.does(Command::RegisterAgent(agent(place, node, place)));
        }
        world.does(create("contoso", Tier::Premium, "westeurope"));
        world
    }

    /// Has a command happen, and returns its events.
    pub fn does(&mut self, command: Command) -> Vec<Event> {
        let events = decide(&self.state, &command).expect("the command is accepted");
        for event in &events {
            let revision = self.state.header.revision.next();
            evolve(&mut self.state, revision, event);
        }
        events
    }

    /// Has a command refused, and returns what its rejections say.
    pub fn refuses(&self, command: Command) -> Vec<String> {
        let rejections = decide(&self.state, &command).expect_err("the command is refused");
        rejections.iter().map(Rejection::to_string).collect()
    }

    /// Has `contoso` changed.
    pub fn saves(&mut self, edits: impl Into<Vec<Edit>>) -> Vec<Event> {
        self.does(change(edits))
    }

    pub fn service(&self) -> &Service {
        &self.state.services[&service("contoso")]
    }

    /// The wanted units of a location of `contoso`, as slots and agents.
    pub fn placed(&self, place: &str) -> Vec<(u16, String)> {
        let (service, region) = (service("contoso"), region(place));
        let units = self.state.current_units(&service, &region);
        units.map(|unit| (unit.id.slot, unit.agent.to_string())).collect()
    }

    /// Takes in that the units of an agent that are wanted are ready, and the others gone.
    pub fn settles(&mut self, name: &str) -> Vec<Event> {
        let agent = agent_name(name);
        let last = self.state.agents[&agent].last_report.1;
        let configuration = self.service().configuration;
        let ready = UnitStatus::Ready { pid: Some(7), configuration };
        let mut report = self.report(name, last.0 + 1, ready);
        let wanted =
            |row: &ReportedUnit| self.state.units[&(row.unit.clone(), row.incarnation)].is_wanted();
        report.units.retain(wanted);
        let events = self.does(Command::Report(report));
        let known = self.state.agents.get_mut(&agent).expect("the agent is known");
        known.last_report.1 = Sequence(last.0 + 1);
        events
    }

    /// A report of an agent, with everything that the state has on it in the same status.
    pub fn report(&self, name: &str, sequence: u64, status: UnitStatus) -> Report {
        let agent = agent_name(name);
        let row = |unit: &Unit| ReportedUnit {
            unit: unit.id.clone(),
            incarnation: unit.incarnation,
            status: status.clone(),
        };
        Report {
            units: self.state.units_on(&agent).map(row).collect(),
            agent,
            generation: Generation(1),
            sequence: Sequence(sequence),
            observed: self.state.header.revision,
        }
    }
}

pub fn cluster(number: u128) -> ClusterId {
    ClusterId(uuid::Uuid::from_u128(number))
}

pub fn region(name: &str) -> RegionName {
    RegionName::new(name).expect("is a region name")
}

pub fn service(name: &str) -> ServiceName {
    ServiceName::new(name).expect("is a service name")
}

pub fn agent_name(name: &str) -> AgentName {
    AgentName::new(name).expect("is an agent name")
}

pub fn zone(number: u8) -> Zone {
    number.try_into().expect("is a zone")
}

pub fn zones(numbers: &[u8]) -> Zones {
    numbers.iter().copied().map(zone).collect()
}

pub fn agent(name: &str, node: u64, place: &str) -> AgentDescription {
    let address =
        |port: u16| Address::new(format!("127.0.1.{node}:{port}")).expect("is an address");
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
    Command::CreateService { service: service(name), tier, primary: region(primary), port: None }
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
        name: ApiName::new(name).expect("is an API name"),
        path: ApiPath::new(path).expect("is a path"),
        backend: BackendUrl::new(backend).expect("is a backend"),
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
