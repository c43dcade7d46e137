//! One in-memory node behind all ports. Its [`Script`] replaces single responses.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard};
use std::time::Duration;

use async_trait::async_trait;
use meridian_domain::agent::Address;
use meridian_domain::outcome::OutcomeLookup;
use meridian_domain::report::{Report, ReportedUnit, UnitStatus};
use meridian_domain::{
    AgentDescription, AgentName, Change, ClusterId, Command, DataVersion, Digest, Entry, Epoch,
    EventRecord, Generation, Incarnation, NodeId, Origin, RegionName, Revision, State, Timestamp,
    Unit, UnitPhase, Verdict, decide, evolve,
};
use meridian_ports::{
    AgentResponse, Cluster, ClusterError, Consistency, DiskSpace, History, HistoryError,
    LastContact, Leadership, MedianRoundTrips, Member, Next, Progress, Proposal, Propose,
    ProposeError, Read, ReadError, ReadPoint, Readdressed, Receipt, Requester, Role, UnitLoad,
    UnitLoads,
};
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use crate::script::Script;

mod routing;

pub struct Fake {
    state: RwLock<State>,
    log: RwLock<Vec<EventRecord>>,
    latest: watch::Sender<Revision>,
    pub leadership: watch::Sender<Leadership>,
    /// Number of pages of events read.
    pub reads: AtomicUsize,
    pub script: Mutex<Script>,
    /// Region of the contacted agent.
    pub region: RegionName,
}

const MINUTE: Duration = Duration::from_secs(60);

pub fn cluster_id() -> ClusterId {
    ClusterId(Uuid::from_u128(0x0193_2f5e_8b1a_4c3d_9e4f_0123_4567_89ab))
}

pub fn agent_name(name: &str) -> AgentName {
    AgentName::new(name).expect("is a name")
}

/// The agent with that number; `a` is number 1.
fn description(number: u8, region: &str) -> AgentDescription {
    let address = |port| Address::new(format!("127.0.1.{number}:{port}")).expect("is one");
    AgentDescription {
        name: agent_name(&char::from(b'a' + number - 1).to_string()),
        node: NodeId(number.into()),
        region: RegionName::new(region).expect("is a name"),
        zone: None,
        witness: false,
        client_address: address(7400),
        peer_address: address(7401),
        gateway_host: format!("127.0.1.{number}"),
        supports: DataVersion(1),
    }
}

impl Fake {
    /// A bootstrapped cluster of three agents: `a` in westeurope, `b` in eastus, `c` in
    /// southeastasia.
    pub fn bootstrapped() -> Arc<Self> {
        let fake = Arc::new(Self {
            state: RwLock::default(),
            log: RwLock::default(),
            latest: watch::channel(Revision(0)).0,
            leadership: watch::Sender::new(Leadership::Leader { node: NodeId(1), term: 1 }),
            reads: AtomicUsize::default(),
            script: Mutex::default(),
            region: RegionName::new("westeurope").expect("is a name"),
        });
        let agents = [(1, "westeurope"), (2, "eastus"), (3, "southeastasia")];
        let agents = agents.into_iter().map(|(number, region)| description(number, region));
        let agents = agents.collect();
        fake.happen(Command::BootstrapCluster { cluster: cluster_id(), agents });
        fake
    }

    /// Applies a command of the system.
    pub fn happen(&self, command: Command) {
        let receipt = self.decide(&command, Origin::System);
        assert_eq!(receipt.verdict, Verdict::Accepted, "{command:?}");
        self.latest.send_replace(receipt.revision);
    }

    /// Every agent reports all its units as ready, and the draining ones as gone.
    pub fn settle(&self) {
        let agents: Vec<_> = self.state().agents.keys().cloned().collect();
        for agent in &agents {
            self.report(agent, usize::MAX);
        }
    }

    /// As [`Fake::settle`] for one agent. Only its first unit serves the current configuration.
    pub fn settle_first(&self, agent: &str) {
        self.report(&agent_name(agent), 1);
    }

    /// An agent reports its units as ready, the first `newest` of them with the current
    /// configuration of their service.
    fn report(&self, name: &AgentName, newest: usize) {
        let report = {
            let state = self.state();
            let running = state.units_on(name).filter(|unit| unit.phase != UnitPhase::Draining);
            let units = running.enumerate().map(|(index, unit)| {
                let served = unit.configuration().filter(|_| index >= newest);
                let configuration = served.unwrap_or_else(|| configuration(&state, unit));
                let status = UnitStatus::Ready { pid: Some(4711), configuration, refused: None };
                let (unit, incarnation) = (unit.id.clone(), unit.incarnation);
                ReportedUnit { unit, incarnation, status, replace: false }
            });
            Report {
                agent: name.clone(),
                generation: Generation(1),
                sequence: state.agents[name].last_report.1.next(),
                after: Incarnation(0),
                observed: state.header.revision,
                units: units.collect(),
            }
        };
        let (generation, sequence) = (report.generation, report.sequence);
        let origin = Origin::Report { agent: name.clone(), generation, sequence };
        let receipt = self.decide(&Command::Report(report), origin);
        self.latest.send_replace(receipt.revision);
    }

    pub fn revision(&self) -> u64 {
        self.state.read().expect("is whole").header.revision.0
    }

    pub fn set(&self, change: impl FnOnce(&mut Script)) {
        let mut script = self.script.lock().expect("is whole");
        change(&mut script);
        self.leadership.send_replace(match (script.leaderless, script.orphaned_leader) {
            (true, _) => Leadership::Unknown,
            (false, Some(leader)) => Leadership::Follower { leader: NodeId(leader) },
            (false, None) => Leadership::Leader { node: NodeId(1), term: 1 },
        });
    }

    /// Trims the events up to this revision.
    pub fn trim(&self, through: u64) {
        self.set(|script| script.trimmed = through);
        self.state.write().expect("is whole").header.trimmed = Revision(through);
    }

    fn script<T>(&self, read: impl FnOnce(&Script) -> T) -> T {
        read(&self.script.lock().expect("is whole"))
    }

    fn decide(&self, command: &Command, origin: Origin) -> Receipt {
        let mut state = self.state.write().expect("is whole");
        let base = state.header.revision;
        let (events, verdict) = match decide(&state, command) {
            Ok(events) => (events, Verdict::Accepted),
            Err(rejections) => (Vec::new(), Verdict::Rejected(rejections)),
        };
        let changes = vec![Change { origin, events, verdict: verdict.clone() }];
        let entry = Entry { base, time: Timestamp(1_795_000_000_123), changes };
        evolve::apply(&mut state, &entry).expect("was decided against this state");
        self.log.write().expect("is whole").extend(entry.records());
        Receipt { verdict, base, revision: state.header.revision }
    }

    fn publish(&self, revision: Revision) {
        let delay = self.script(|script| script.delivery);
        let latest = self.latest.clone();
        let publish = move || {
            latest.send_if_modified(|latest| {
                let newer = revision > *latest;
                *latest = revision.max(*latest);
                newer
            });
        };
        if delay.is_zero() {
            publish();
        } else {
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                publish();
            });
        }
    }
}

/// The current configuration of the unit's service.
fn configuration(state: &State, unit: &Unit) -> Revision {
    state.services.get(&unit.id.service).map(|service| service.configuration).unwrap_or_default()
}

fn digest(command: &Command) -> Digest {
    let mut hasher = DefaultHasher::new();
    format!("{command:?}").hash(&mut hasher);
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&hasher.finish().to_be_bytes());
    Digest(digest)
}

#[async_trait]
impl Propose for Fake {
    async fn propose(&self, proposal: Proposal) -> Result<Receipt, ProposeError> {
        let left = proposal.deadline.saturating_duration_since(Instant::now());
        self.set(|script| script.time_left = Some(left));
        assert!(!self.script(|script| script.panics), "the script says so");
        if let Some(error) = self.script(|script| script.propose.clone()) {
            return Err(error);
        }
        let origin = match proposal.requester {
            Requester::System | Requester::Agent => Origin::System,
            Requester::Operator { request, actor, reason } => {
                let digest = digest(&proposal.command);
                match self.state().outcomes.lookup(request, &digest) {
                    OutcomeLookup::New => {}
                    OutcomeLookup::Reused => return Err(ProposeError::RequestReused { request }),
                    OutcomeLookup::Expired => return Err(ProposeError::RequestExpired { request }),
                    OutcomeLookup::Known(outcome) => {
                        let verdict = outcome.verdict.clone();
                        let (base, revision) = (outcome.base, outcome.revision);
                        return Ok(Receipt { verdict, base, revision });
                    }
                }
                Origin::Operator { request, digest, actor, reason }
            }
        };
        let receipt = self.decide(&proposal.command, origin);
        self.publish(receipt.revision);
        Ok(receipt)
    }
}

#[async_trait]
impl Read for Fake {
    async fn read(&self, consistency: Consistency, _: Instant) -> Result<ReadPoint, ReadError> {
        match (consistency, self.script(|script| script.read.clone())) {
            (Consistency::Linearizable, Some(error)) => Err(error),
            _ => {
                Ok(ReadPoint {
                    revision: *self.latest.borrow(),
                    leader_contact: Some(self.script(|script| {
                        script.leader_silence.unwrap_or(Duration::from_millis(20))
                    })),
                })
            }
        }
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().expect("is whole")
    }

    fn durable(&self) -> watch::Receiver<Revision> {
        self.latest.subscribe()
    }
}

impl History for Fake {
    fn events(&self, from: Revision, limit: usize) -> Result<Vec<EventRecord>, HistoryError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let trimmed = self.script(|script| script.trimmed);
        if from.0 <= trimmed {
            return Err(HistoryError::Trimmed { from, oldest: Revision(trimmed + 1) });
        }
        let latest = *self.latest.borrow();
        let log = self.log.read().expect("is whole");
        let before = log.partition_point(|event| event.revision < from);
        let wanted = log[before..].iter().take_while(|event| event.revision <= latest);
        Ok(wanted.take(limit).cloned().collect())
    }

    fn latest(&self) -> watch::Receiver<Revision> {
        self.latest.subscribe()
    }

    fn chain(&self) -> (Revision, Digest) {
        (*self.latest.borrow(), Digest([0; 32]))
    }
}

#[async_trait]
impl Cluster for Fake {
    fn id(&self) -> ClusterId {
        cluster_id()
    }

    fn epoch(&self) -> Epoch {
        self.state().header.epoch
    }

    fn node(&self) -> NodeId {
        NodeId(1)
    }

    fn unreachable_after(&self) -> Duration {
        Duration::from_secs(5)
    }

    async fn members(&self, _: Instant) -> Vec<Member> {
        let mut nodes: BTreeSet<_> =
            self.state().agents.values().map(|agent| agent.description.node).collect();
        nodes.extend(self.script(|script| script.orphaned_leader).map(NodeId));
        let member = |node: NodeId| {
            let contact = self.script(|script| match node.0 {
                node if script.silent.contains(&node) => LastContact::Ago(MINUTE),
                node if script.unheard.contains(&node) => LastContact::NotWithin(MINUTE),
                _ => LastContact::Ago(Duration::from_millis(30)),
            });
            let pending = self.script(|script| script.pending.get(&node.0).cloned());
            let next =
                self.leadership.borrow().leader().map(|_| pending.map_or(Next::Stay, Next::Change));
            let leads = self.leadership.borrow().leader() == Some(node);
            let role = if leads { Role::Leader } else { Role::Follower };
            let contact = if leads { LastContact::Ago(Duration::ZERO) } else { contact };
            let last_contact = self.leadership.borrow().leader().map(|_| contact);
            Member { node, role, voter: true, last_contact, next }
        };
        nodes.into_iter().map(member).collect()
    }

    async fn agents(&self, _: Instant) -> Vec<AgentResponse> {
        let revision = Revision(self.revision());
        let names: Vec<_> = self.state().agents.keys().cloned().collect();
        let status = |agent: AgentName| {
            let listed = |list: &Vec<String>| list.iter().any(|name| name == agent.as_str());
            let mute = self.script(|script| listed(&script.mute));
            let strange = self.script(|script| listed(&script.strange));
            let (state, events) = (Digest([u8::from(strange); 32]), Digest::default());
            let applied = revision.0;
            let position = (!mute).then_some(Progress { revision, applied, state, events });
            let low = self.script(|script| listed(&script.low_disk));
            let disk = low.then_some(DiskSpace { free: 100 << 20, minimum: 256 << 20 });
            let duplicated = self.script(|script| listed(&script.duplicated));
            let settings = self.script(|script| script.settings.get(agent.as_str()).cloned());
            let (lag, settings) = (Some(Duration::ZERO), settings.unwrap_or_default());
            AgentResponse { agent, position, lag, disk, duplicated, settings }
        };
        names.into_iter().map(status).collect()
    }

    fn round_trips(&self) -> MedianRoundTrips {
        self.script(|script| script.round_trips.clone())
    }

    async fn loads(&self, _: Instant) -> UnitLoads {
        let load = UnitLoad { in_flight: 3, utilization_permille: 250 };
        self.state()
            .units
            .values()
            .filter(|unit| unit.is_ready())
            .map(|u| (u.incarnation, load))
            .collect()
    }

    async fn transfer_leader(
        &self,
        to: Option<NodeId>,
        _: Instant,
    ) -> Result<NodeId, ClusterError> {
        match self.script(|script| script.cluster.clone()) {
            Some(error) => Err(error),
            None => Ok(to.unwrap_or(NodeId(2))),
        }
    }

    async fn snapshot(&self, _: Instant) -> Result<Revision, ClusterError> {
        match self.script(|script| script.cluster.clone()) {
            Some(error) => Err(error),
            None => Ok(Revision(self.revision())),
        }
    }

    async fn invite(&self, _: &Address, _: Instant) -> Result<AgentName, ClusterError> {
        self.script(|script| script.cluster.clone()).map_or_else(|| Ok(agent_name("d")), Err)
    }

    async fn readdress(
        &self,
        _: &AgentName,
        _: NodeId,
        _: &Address,
        _: Instant,
    ) -> Result<Readdressed, ClusterError> {
        match self.script(|script| script.cluster.clone()) {
            Some(error) => Err(error),
            None => Ok(Readdressed { informed: vec![NodeId(1)], unreachable: vec![NodeId(3)] }),
        }
    }
}
