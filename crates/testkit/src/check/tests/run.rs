//! Builds histories of a healthy cluster.

use meridian_domain::agent::Address;
use meridian_domain::evolve::evolve;
use meridian_domain::reachability::{Evidence, Gateways, ProberGroup};
use meridian_domain::{
    AgentDescription, AgentName, ClusterId, Command, DataVersion, Event, NodeId, RegionName,
    RequestId, Revision, ServiceName, State, Tier, WhenDisabled, decide,
};
use meridian_proto::convert::{event, json};
use uuid::Uuid;

use crate::cluster::new_request;
use crate::history::{
    Fault, Header, LoggedEvent, Mark, Micros, NodeInfo, ObservedEvent, ObservedUnit, Operation,
    OperationKind, Outcome, Processes, Record, StateHash, Step, Watch, mark,
};

pub const NODES: [&str; 3] = ["westeurope", "eastus", "southeastasia"];
/// Time between two records, in microseconds.
const STEP: Micros = 100;

/// A history under construction. Each node has the name of its region.
pub struct Run {
    pub records: Vec<Record>,
    pub state: State,
    log: Vec<(Micros, LoggedEvent)>,
    now: Micros,
}

impl Run {
    /// Starts with a bootstrapped cluster and one service, `contoso`, in the first region.
    pub fn bootstrapped() -> Self {
        let mut run =
            Self { records: Vec::new(), state: State::default(), log: Vec::new(), now: 1_000 };
        let nodes = NODES.map(|name| NodeInfo { name: name.to_owned(), region: name.to_owned() });
        run.records.push(Record::Header(Header {
            seed: 1,
            nodes: nodes.into(),
            min_changes_per_second: 1.0,
            converge_within_seconds: 1,
            quiescent_seconds: 1,
        }));
        let nodes = NODES.iter().zip(1..).map(|(name, node)| agent(name, node)).collect();
        let bootstrap =
            Command::BootstrapCluster { cluster: ClusterId(Uuid::nil()), agents: nodes };
        let events = decide(&run.state, &bootstrap).expect("the cluster can be bootstrapped");
        run.log(None, events);
        run.mark(mark::LOAD);
        let create = Command::CreateService {
            service: contoso(),
            tier: Tier::Premium,
            primary: region(0),
            port: None,
            when_disabled: WhenDisabled::Refuse,
        };
        run.change(0, create);
        run.start_units();
        run
    }

    fn tick(&mut self) -> Micros {
        self.now += STEP;
        self.now
    }

    pub fn mark(&mut self, name: &str) {
        let at = self.tick();
        self.records.push(Record::Mark(Mark { at, name: name.to_owned() }));
    }

    /// Submits a change; the outcome is the model's.
    pub fn change(&mut self, node: usize, command: Command) -> RequestId {
        let request = new_request();
        let invoked = self.tick();
        let base = self.state.header.revision.0;
        let outcome = match decide(&self.state, &command) {
            Ok(events) => {
                self.log(Some(request), events);
                Outcome::Accepted { base, revision: self.state.header.revision.0 }
            }
            Err(rejections) => Outcome::Rejected { reason: rejections[0].to_string() },
        };
        self.operation(node, invoked, OperationKind::Change { request, command }, outcome);
        request
    }

    pub fn read(&mut self, node: usize, linearizable: bool) {
        let invoked = self.tick();
        let outcome = Outcome::Read { revision: self.state.header.revision.0 };
        self.operation(node, invoked, OperationKind::Read { linearizable }, outcome);
    }

    fn operation(&mut self, node: usize, invoked: Micros, kind: OperationKind, outcome: Outcome) {
        let (returned, node, session) = (self.tick(), NODES[node].to_owned(), node as u64);
        self.records.push(Record::Operation(Operation {
            invoked,
            returned,
            node,
            session,
            kind,
            outcome,
        }));
    }

    fn log(&mut self, request: Option<RequestId>, events: Vec<Event>) {
        let at = self.tick();
        let change_id = self.state.header.revision.0 + 1;
        for domain in events {
            let revision = self.state.header.revision.next();
            evolve(&mut self.state, revision, &domain);
            let event = LoggedEvent {
                revision: revision.0,
                time: 0,
                actor: "test".to_owned(),
                request_id: request.map(|it| it.to_string()),
                change_id,
                kind: domain.type_name().to_owned(),
                data: json::from_struct(event::data(&domain)),
            };
            self.log.push((at, event));
        }
    }

    /// All agents start their units and report them.
    pub fn start_units(&mut self) {
        let units = self.state.units.values();
        let configuration = Revision(1);
        let ready = units.map(|it| Event::UnitReady {
            unit: it.id.clone(),
            incarnation: it.incarnation,
            pid: Some(1),
            configuration,
        });
        let ready = ready.collect::<Vec<_>>();
        for event in ready {
            self.log(None, vec![event]);
        }
        self.table();
    }

    pub fn table(&mut self) {
        let at = self.tick();
        let units = self.state.units.values().zip(100..).map(|(unit, pid)| ObservedUnit {
            service: unit.id.service.to_string(),
            region: unit.id.region.to_string(),
            slot: unit.id.slot.into(),
            incarnation: unit.incarnation.0,
            pid,
        });
        self.records.push(Record::Processes(Processes { at, units: units.collect() }));
    }

    /// The gateways of an agent are lost.
    pub fn lose(&mut self, node: usize) {
        let unreachable_from = NODES.iter().enumerate().filter(|(other, _)| *other != node);
        let unreachable_from = unreachable_from
            .map(|(_, name)| ProberGroup::Region(RegionName::new(*name).expect("is a name")));
        let evidence = Evidence { unreachable_from: unreachable_from.collect(), groups: 2 };
        let agent = AgentName::new(NODES[node]).expect("is a name");
        let gateways = Gateways::All;
        self.log(None, vec![Event::GatewaysLost { agent, gateways, evidence, relapses: 0 }]);
    }

    pub fn fault(&mut self, kind: &str, node: usize) {
        self.fault_during(kind, node, |_| ());
    }

    /// A fault, and what happens before it ends.
    pub fn fault_during(&mut self, kind: &str, node: usize, happens: impl FnOnce(&mut Self)) {
        self.step(kind, node, Step::Started);
        self.step(kind, node, Step::Effective { evidence: "packets were dropped".to_owned() });
        happens(self);
        self.table();
        self.step(kind, node, Step::Ended);
    }

    /// Draining units stop.
    pub fn stop_draining(&mut self) {
        let draining = self.state.units.values().filter(|unit| !unit.is_wanted());
        let stopped: Vec<_> = draining
            .map(|it| Event::UnitStopped { unit: it.id.clone(), incarnation: it.incarnation })
            .collect();
        self.log(None, stopped);
    }

    /// Nothing happens for this time, in microseconds.
    pub fn pass(&mut self, time: Micros) {
        self.now += time;
    }

    fn step(&mut self, kind: &str, node: usize, step: Step) {
        let (at, kind, nodes) = (self.tick(), kind.to_owned(), vec![NODES[node].to_owned()]);
        self.records.push(Record::Fault(Fault { at, fault: 1, kind, nodes, step }));
    }

    /// Ends the run: all faults are removed, and then the cluster is quiescent.
    pub fn heal(mut self) -> Vec<Record> {
        self.mark(mark::LOAD_ENDED);
        self.mark(mark::HEALED);
        self.change(0, scale(0, 1));
        for node in 0..NODES.len() {
            self.read(node, true);
        }
        self.start_units();
        self.mark(mark::QUIESCENT);
        for node in NODES {
            let at = self.tick();
            let (revision, node) = (self.state.header.revision.0, node.to_owned());
            self.records.push(Record::State(StateHash {
                at,
                node,
                revision,
                hash: "a".repeat(64),
                applied: None,
                events: None,
            }));
        }
        self.pass(1_000_000);
        self.mark(mark::QUIESCENT_ENDED);
        for (node, stream) in NODES.iter().zip(1..) {
            let watch = Watch { at: 0, stream, node: (*node).to_owned(), from: 1 };
            self.records.push(Record::Watch(watch));
            let seen = self.log.iter().cloned();
            let seen = seen.map(|(at, event)| Record::Event(ObservedEvent { at, stream, event }));
            self.records.extend(seen);
        }
        self.records
    }
}

fn agent(name: &str, node: u64) -> AgentDescription {
    let address = Address::new(format!("127.0.0.1:{}", 7_000 + node)).expect("is an address");
    AgentDescription {
        name: AgentName::new(name).expect("is a name"),
        node: NodeId(node),
        region: RegionName::new(name).expect("is a name"),
        zone: None,
        witness: false,
        client_address: address.clone(),
        peer_address: address,
        gateway_host: "127.0.0.1".to_owned(),
        supports: DataVersion::SUPPORTED,
    }
}

pub fn contoso() -> ServiceName {
    ServiceName::new("contoso").expect("is a name")
}

pub fn region(node: usize) -> RegionName {
    RegionName::new(NODES[node]).expect("is a name")
}

/// Returns a command that sets the units of contoso in a region, adding the location if it is
/// missing.
pub fn set(node: usize, units: u16) -> Command {
    edit(meridian_domain::Edit::Set { region: region(node), units }, None)
}

/// Returns a command that scales contoso in a region.
pub fn scale(node: usize, units: u16) -> Command {
    let scale =
        meridian_domain::Edit::Scale { region: region(node), units: Some(units), zones: None };
    edit(scale, None)
}

/// Returns a command with one edit of contoso, conditional on the expected revision.
pub fn edit(edit: meridian_domain::Edit, expected: Option<Revision>) -> Command {
    Command::ChangeService { service: contoso(), expected, edits: vec![edit] }
}
