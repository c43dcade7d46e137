//! An agent in a region, with its machine and its log.

use std::sync::Arc;

use meridian_agent::desired_store::DesiredStore;
use meridian_agent::reconcile::RunError;
use meridian_agent::{Ended, Reconciler, ReconcilerConfig};
use meridian_domain::{
    Address, AgentDescription, AgentName, ClusterId, Command, DataVersion, Edit, Event, Generation,
    Incarnation, NodeId, RegionName, ServiceName, State, Tier, Unit, WhenDisabled,
};
use meridian_ports::Read as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::log::{Log, Quorum};
use crate::machine::Machine;

/// Timeout of every wait, in virtual time: longer than the maximum backoff delay.
const TIMEOUT: Duration = Duration::from_secs(900);

pub struct World {
    pub log: Arc<Log>,
    pub machine: Machine,
    pub directory: tempfile::TempDir,
    generation: Generation,
}

/// A process run of the agent.
pub struct ProcessRun {
    shutdown: CancellationToken,
    run: JoinHandle<Result<Ended, RunError>>,
}

impl World {
    /// The agent `we-1` in `westeurope`, and the service `contoso` with this many units there.
    pub fn contoso(units: u16) -> Self {
        let log = Log::new(State::default());
        log.commit(Command::BootstrapCluster {
            cluster: ClusterId(uuid::Uuid::nil()),
            agents: vec![],
        });
        log.commit(Command::RegisterAgent(agent()));
        log.commit(create("contoso"));
        let world = Self {
            log: Arc::new(log),
            machine: Machine::new(),
            directory: tempfile::tempdir().unwrap(),
            generation: Generation(0),
        };
        world.scale(units);
        world
    }

    /// Starts a process run of the agent.
    pub fn agent(&mut self) -> ProcessRun {
        self.process_run(None)
    }

    /// Starts a process run whose desired set is in `store`.
    pub fn agent_with_store(&mut self, store: Arc<dyn DesiredStore>) -> ProcessRun {
        self.process_run(Some(store))
    }

    fn process_run(&mut self, store: Option<Arc<dyn DesiredStore>>) -> ProcessRun {
        self.machine.forget_exited();
        self.generation = self.generation.next();
        let config = ReconcilerConfig {
            agent: name(),
            node: agent().node,
            directory: self.directory.path().to_owned(),
            generation: self.generation,
            gateway: [127, 0, 1, 1].into(),
            loads: watch::Sender::default(),
        };
        let driver = Arc::new(self.machine.clone());
        let log = Arc::clone(&self.log);
        let reconciler = match store {
            None => Reconciler::build(config, log.clone(), log, driver),
            Some(store) => Reconciler::build_with_store(store, config, log.clone(), log, driver),
        };
        let reconciler = reconciler.unwrap();
        let shutdown = CancellationToken::new();
        ProcessRun { run: tokio::spawn(reconciler.run(shutdown.clone())), shutdown }
    }

    /// Sets the generation back, as a data directory does that is restored from an older copy.
    pub fn restore_generation(&mut self, generation: u64) {
        self.generation = Generation(generation);
    }

    /// Starts a process run and waits until it has converged.
    pub async fn converged_agent(&mut self) -> ProcessRun {
        let agent = self.agent();
        self.converge().await;
        agent
    }

    pub async fn converge(&self) {
        self.until("the machine has converged to the log", || self.has_converged()).await;
    }

    /// True if exactly the wanted units run, and the log has them as ready.
    pub fn has_converged(&self) -> bool {
        let wanted = self.wanted();
        let ready = self.units().iter().all(Unit::is_ready);
        let units = self.machine.units().len();
        ready && self.machine.ready() == wanted && units == wanted.len()
    }

    /// Waits until `condition` is true, in virtual time.
    pub async fn until(&self, what: &str, condition: impl Fn() -> bool) {
        let waiting = async {
            while !condition() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        if timeout(TIMEOUT, waiting).await.is_err() {
            panic!("timed out: {what}; log {:?}, machine {:?}", self.units(), self.machine.units());
        }
    }

    /// Lets virtual time pass. Returns the numbers of proposals and events that the agent caused
    /// meanwhile.
    pub async fn run_for(&self, duration: Duration) -> (u32, usize) {
        let before = (self.log.proposals(), self.log.events().len());
        sleep(duration).await;
        (self.log.proposals() - before.0, self.log.events().len() - before.1)
    }

    pub fn scale(&self, units: u16) {
        let edits = vec![Edit::Set { region: region(), units }];
        self.log.commit(Command::ChangeService {
            service: service("contoso"),
            expected: None,
            edits,
        });
    }

    pub fn units(&self) -> Vec<Unit> {
        self.log.state().units_on(&name()).cloned().collect()
    }

    /// The incarnations that should run.
    pub fn wanted(&self) -> Vec<Incarnation> {
        let units = self.units();
        let wanted = units.iter().filter(|unit| unit.is_wanted());
        let mut wanted: Vec<_> = wanted.map(|unit| unit.incarnation).collect();
        wanted.sort();
        wanted
    }

    /// The names of the events after the first `number`.
    pub fn events_since(&self, number: usize) -> Vec<&'static str> {
        self.log.events()[number..].iter().map(Event::type_name).collect()
    }

    /// Replaces the node's log, as in a restart on an old disk without a quorum.
    pub fn restart_with(&self, state: State) {
        self.log.set_quorum(Quorum::Unreachable);
        self.log.replace(state);
    }
}

impl ProcessRun {
    /// Shuts the agent down.
    pub async fn stop(self) -> Ended {
        self.shutdown.cancel();
        self.ended().await
    }

    /// Kills the agent, as in a crash of its process.
    pub async fn kill(self) {
        self.run.abort();
        assert!(self.run.await.unwrap_err().is_cancelled(), "the agent had already ended");
    }

    /// Waits until the agent ends on its own.
    pub async fn ended(self) -> Ended {
        let started = Instant::now();
        let ended = timeout(TIMEOUT, self.run).await;
        ended
            .unwrap_or_else(|_| panic!("still running after {:?}", started.elapsed()))
            .unwrap()
            .unwrap()
    }
}

pub fn name() -> AgentName {
    AgentName::new("we-1").unwrap()
}

pub fn region() -> RegionName {
    RegionName::new("westeurope").unwrap()
}

pub fn service(name: &str) -> ServiceName {
    ServiceName::new(name).unwrap()
}

pub fn create(name: &str) -> Command {
    let (service, primary) = (service(name), region());
    Command::CreateService {
        service,
        tier: Tier::Premium,
        primary,
        port: None,
        when_disabled: WhenDisabled::Refuse,
    }
}

fn agent() -> AgentDescription {
    AgentDescription {
        name: name(),
        node: NodeId(1),
        region: region(),
        zone: None,
        witness: false,
        client_address: Address::new("127.0.1.1:7400").unwrap(),
        peer_address: Address::new("127.0.1.1:7401").unwrap(),
        gateway_host: "127.0.1.1".to_owned(),
        supports: DataVersion::SUPPORTED,
    }
}
