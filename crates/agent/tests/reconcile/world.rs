//! An agent in a region, its machine and its log.

use std::sync::Arc;

use meridian_agent::reconcile::RunError;
use meridian_agent::{Ended, Reconciler, ReconcilerConfig};
use meridian_domain::{
    Address, AgentDescription, AgentName, ClusterId, Command, DataVersion, Edit, Event, Generation,
    Incarnation, NodeId, RegionName, ServiceName, State, Tier, Unit,
};
use meridian_ports::Read as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::log::{Log, Quorum};
use crate::machine::Machine;

/// For whatever must happen some time, in virtual time: longer than the longest pause.
const PATIENCE: Duration = Duration::from_secs(900);

pub struct World {
    pub log: Arc<Log>,
    pub machine: Machine,
    pub directory: tempfile::TempDir,
    generation: Generation,
}

/// One life of the agent.
pub struct Life {
    shutdown: CancellationToken,
    run: JoinHandle<Result<Ended, RunError>>,
}

impl World {
    /// The agent `westeurope` and the service `contoso`, with this many units there.
    pub fn contoso(units: u16) -> Self {
        let log = Log::new(State::default());
        log.does(Command::FoundCluster { cluster: ClusterId(uuid::Uuid::nil()), founders: vec![] });
        log.does(Command::RegisterAgent(agent()));
        log.does(create("contoso"));
        let world = Self {
            log: Arc::new(log),
            machine: Machine::new(),
            directory: tempfile::tempdir().unwrap(),
            generation: Generation(0),
        };
        world.scale(units);
        world
    }

    /// Starts the agent.
    pub fn agent(&mut self) -> Life {
        self.machine.forget_the_dead();
        self.generation = self.generation.next();
        let config = ReconcilerConfig {
            agent: name(),
            directory: self.directory.path().to_owned(),
            generation: self.generation,
            loads: watch::Sender::default(),
        };
        let driver = Arc::new(self.machine.clone());
        let log = Arc::clone(&self.log);
        let reconciler = Reconciler::build(config, log.clone(), log, driver).unwrap();
        let shutdown = CancellationToken::new();
        Life { run: tokio::spawn(reconciler.run(shutdown.clone())), shutdown }
    }

    /// Starts the agent and waits until it has done what there is to do.
    pub async fn converged_agent(&mut self) -> Life {
        let life = self.agent();
        self.converges().await;
        life
    }

    pub async fn converges(&self) {
        self.until("the log and the machine agree", || self.has_converged()).await;
    }

    /// Whether the units that run are those that the log wants, and it says so.
    pub fn has_converged(&self) -> bool {
        let wanted = self.wanted();
        let ready = self.units().iter().all(Unit::is_ready);
        let units = self.machine.units().len();
        ready && self.machine.ready() == wanted && units == wanted.len()
    }

    /// Waits for a condition, in virtual time.
    pub async fn until(&self, what: &str, condition: impl Fn() -> bool) {
        let waiting = async {
            while !condition() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        if timeout(PATIENCE, waiting).await.is_err() {
            panic!("never: {what}; log {:?}, machine {:?}", self.units(), self.machine.units());
        }
    }

    /// Lets virtual time pass, and returns how much the agent wrote meanwhile: proposals and events.
    pub async fn passes(&self, duration: Duration) -> (u32, usize) {
        let before = (self.log.proposals(), self.log.events().len());
        sleep(duration).await;
        (self.log.proposals() - before.0, self.log.events().len() - before.1)
    }

    pub fn scale(&self, units: u16) {
        let edits = vec![Edit::Set { region: region(), units }];
        self.log.does(Command::ChangeService {
            service: service("contoso"),
            expected: None,
            edits,
        });
    }

    pub fn units(&self) -> Vec<Unit> {
        self.log.state().units_on(&name()).cloned().collect()
    }

    /// The assignments that are to run.
    pub fn wanted(&self) -> Vec<Incarnation> {
        let units = self.units();
        let wanted = units.iter().filter(|unit| unit.is_wanted());
        let mut wanted: Vec<_> = wanted.map(|unit| unit.incarnation).collect();
        wanted.sort();
        wanted
    }

    /// The names of the events since the given number of them.
    pub fn events_since(&self, number: usize) -> Vec<&'static str> {
        self.log.events()[number..].iter().map(Event::type_name).collect()
    }

    /// Takes the node's log away, as a restart does that finds an old disk and no majority.
    pub fn restarts_with(&self, state: State) {
        self.log.set_quorum(Quorum::Away);
        self.log.replace(state);
    }
}

impl Life {
    /// Tells the agent to stop.
    pub async fn stop(self) -> Ended {
        self.shutdown.cancel();
        self.ends().await
    }

    /// Ends the agent like a lost process.
    pub async fn killed(self) {
        self.run.abort();
        assert!(self.run.await.unwrap_err().is_cancelled(), "it had ended before");
    }

    /// How it ended by itself.
    pub async fn ends(self) -> Ended {
        let began = Instant::now();
        let ended = timeout(PATIENCE, self.run).await;
        ended.unwrap_or_else(|_| panic!("runs after {:?}", began.elapsed())).unwrap().unwrap()
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
    Command::CreateService { service, tier: Tier::Premium, primary, port: None }
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
