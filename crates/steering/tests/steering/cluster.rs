//! A cluster state behind the ports that the server reads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard};

use async_trait::async_trait;
use meridian_domain::report::{Report, ReportedUnit, UnitStatus};
use meridian_domain::{
    Address, AgentDescription, AgentName, Change, ClusterId, Command, DataVersion, Digest,
    DnsSettings, Edit, Entry, EventRecord, Generation, Incarnation, NodeId, Origin, RegionName,
    Revision, ServiceName, State, Tier, Timestamp, Unit, Verdict, WhenDisabled, Zones, decide,
    evolve,
};
use meridian_ports::{
    Consistency, History, HistoryError, LocalView, Read, ReadError, ReadPoint, SharedSetting,
    SharedSettings,
};
use meridian_steering::{Config, Server, StartError};
use tokio::sync::watch;
use tokio::time::Instant;

pub const ZONE: &str = "gateways.example.net";

#[derive(Default)]
pub struct Cluster {
    state: RwLock<State>,
    log: RwLock<Vec<EventRecord>>,
    latest: watch::Sender<Revision>,
    pub local_view: watch::Sender<LocalView>,
    pub settings: watch::Sender<SharedSettings>,
    /// Number of reads of the state.
    pub reads: AtomicUsize,
    /// Set to trim all events.
    pub trimmed: std::sync::atomic::AtomicBool,
}

impl Cluster {
    /// Returns a cluster with the zone and the service `contoso` in three regions: two agents in
    /// westeurope, one with a name in eastus, and one with an IPv6 address in southeastasia.
    pub fn contoso() -> Arc<Self> {
        let cluster = Self::empty();
        cluster.register("eu-1", "westeurope", "203.0.113.1");
        cluster.register("eu-2", "westeurope", "203.0.113.2");
        cluster.register("us-1", "eastus", "gw-us.example.org");
        cluster.register("asia-1", "southeastasia", "[2001:db8::9]");
        cluster.create("contoso");
        cluster.edit("contoso", Edit::Set { region: region("westeurope"), units: 2 });
        for place in ["eastus", "southeastasia"] {
            cluster.edit("contoso", add(place));
        }
        cluster.all_ready();
        cluster.set_dns(|_| ());
        cluster
    }

    pub fn empty() -> Arc<Self> {
        let cluster = Arc::new(Self::default());
        let id = ClusterId(uuid::Uuid::from_u128(1));
        cluster.apply(Command::BootstrapCluster { cluster: id, agents: vec![] });
        cluster
    }

    pub fn apply(&self, command: Command) {
        let mut state = self.state.write().unwrap();
        let events = decide(&state, &command).expect("the command is accepted");
        let (base, time) = (state.header.revision, Timestamp(1_795_000_000_123));
        let change = Change { origin: Origin::System, events, verdict: Verdict::Accepted };
        let entry = Entry { base, time, changes: vec![change] };
        evolve::apply(&mut state, &entry).expect("was decided against this state");
        self.log.write().unwrap().extend(entry.records());
        let latest = state.header.revision;
        drop(state);
        self.latest.send_replace(latest);
    }

    pub fn revision(&self) -> Revision {
        *self.latest.borrow()
    }

    /// Sets the zone and other settings.
    pub fn set_dns(&self, change: impl FnOnce(&mut DnsSettings)) {
        let zone = Some(ZONE.parse().unwrap());
        let mut settings = DnsSettings { zone, ..DnsSettings::default() };
        change(&mut settings);
        self.apply(Command::SetDns { settings });
    }

    pub fn assign(&self, network: &str, place: &str) {
        let networks = vec![(network.parse().unwrap(), region(place))];
        self.apply(Command::ChangeNetworks { assign: networks, remove: vec![] });
    }

    pub fn register(&self, name: &str, place: &str, host: &str) {
        let node = NodeId(1 + self.state.read().unwrap().agents.len() as u64);
        let address = |port| Address::new(format!("127.0.1.{node}:{port}")).unwrap();
        self.apply(Command::RegisterAgent(AgentDescription {
            name: agent(name),
            node,
            region: region(place),
            zone: None,
            witness: false,
            client_address: address(7400),
            peer_address: address(7401),
            gateway_host: host.to_owned(),
            supports: DataVersion::SUPPORTED,
        }));
    }

    pub fn create(&self, name: &str) {
        self.apply(Command::CreateService {
            service: service(name),
            tier: Tier::Premium,
            primary: region("westeurope"),
            port: None,
            when_disabled: WhenDisabled::Refuse,
        });
    }

    pub fn edit(&self, name: &str, edit: Edit) {
        let (service, edits) = (service(name), vec![edit]);
        self.apply(Command::ChangeService { service, expected: None, edits });
    }

    /// All units become ready, and draining ones stop.
    pub fn all_ready(&self) {
        for agent in self.agents() {
            self.report(&agent, |configuration| UnitStatus::Ready {
                pid: None,
                configuration,
                refused: None,
            });
        }
    }

    /// All units of an agent fail.
    pub fn fail(&self, name: &str) {
        self.report(&agent(name), |_| UnitStatus::Failed {
            restarts: 1,
            next_try: Timestamp(0),
            cause: "crashed".to_owned(),
        });
    }

    fn agents(&self) -> Vec<AgentName> {
        self.state.read().unwrap().agents.keys().cloned().collect()
    }

    fn report(&self, name: &AgentName, status: impl Fn(Revision) -> UnitStatus) {
        let report = {
            let state = self.state.read().unwrap();
            let row = |unit: &Unit| ReportedUnit {
                unit: unit.id.clone(),
                incarnation: unit.incarnation,
                status: status(state.services[&unit.id.service].configuration),
                replace: false,
            };
            Report {
                units: state.units_on(name).filter(|unit| unit.is_wanted()).map(row).collect(),
                agent: name.clone(),
                generation: Generation(1),
                sequence: state.agents[name].last_report.1.next(),
                after: Incarnation(0),
                observed: state.header.revision,
            }
        };
        self.apply(Command::Report(report));
    }
}

impl Cluster {
    /// Returns the location database that the server publishes.
    pub fn location_database(&self) -> String {
        self.settings.borrow()[&SharedSetting::LocationDatabase].clone()
    }

    /// Opens the ports of a server that reads this cluster.
    pub async fn bind(self: &Arc<Self>, config: Config) -> Result<Server, StartError> {
        let local_view = self.local_view.subscribe();
        Server::bind(config, self.clone(), self.clone(), local_view, self.settings.clone()).await
    }
}

#[async_trait]
impl Read for Cluster {
    async fn read(&self, _: Consistency, _: Instant) -> Result<ReadPoint, ReadError> {
        unreachable!("a name server responds with the state that it has")
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.state.read().unwrap()
    }

    fn durable(&self) -> watch::Receiver<Revision> {
        self.latest.subscribe()
    }
}

impl History for Cluster {
    fn events(&self, from: Revision, limit: usize) -> Result<Vec<EventRecord>, HistoryError> {
        if self.trimmed.load(Ordering::SeqCst) {
            return Err(HistoryError::Trimmed { from, oldest: self.revision().next() });
        }
        let log = self.log.read().unwrap();
        Ok(log.iter().filter(|event| event.revision >= from).take(limit).cloned().collect())
    }

    fn latest(&self) -> watch::Receiver<Revision> {
        self.latest.subscribe()
    }

    fn chain(&self) -> (Revision, Digest) {
        (self.revision(), Digest::default())
    }
}

pub fn region(name: &str) -> RegionName {
    RegionName::new(name).unwrap()
}

pub fn service(name: &str) -> ServiceName {
    ServiceName::new(name).unwrap()
}

pub fn agent(name: &str) -> AgentName {
    AgentName::new(name).unwrap()
}

pub fn add(place: &str) -> Edit {
    Edit::Add { region: region(place), units: 1, zones: Zones::new() }
}

impl Cluster {
    pub fn host_of(&self, name: &str) -> Option<String> {
        let state = self.state.read().unwrap();
        Some(state.agents.get(&agent(name))?.description.gateway_host.clone())
    }

    pub fn has_zone(&self) -> bool {
        self.state.read().unwrap().header.dns.zone.is_some()
    }
}
