//! State that the control socket and the workers of a unit share.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::{ArcSwapOption, Guard};
use meridian_domain::Generation;
use meridian_proto::v1::{GatewayConfiguration, UnitIdentity, UnitLoad, UnitState};
use meridian_transport::accept::AcceptFailures;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use crate::access_log::AccessLog;
use crate::config::UnitConfig;
use crate::configuration::{Configuration, ConfigurationError};
use crate::load::Load;
use crate::metrics::Metrics;
use crate::status::Status;

/// State that the control socket and the workers of a unit share.
#[derive(Debug)]
pub(crate) struct Shared {
    config: UnitConfig,
    address: SocketAddr,
    status: Status,
    newest_generation: AtomicU64,
    listener: Mutex<Option<Arc<TcpListener>>>,
    /// The configuration of each worker.
    configurations: Box<[ArcSwapOption<Configuration>]>,
    /// Held while the configuration is replaced.
    changing: Mutex<()>,
    configured: CancellationToken,
    /// End of the time in which clients leave a gateway that was disabled; `None` while it is enabled.
    leaves_until: watch::Sender<Option<Instant>>,
    drain: CancellationToken,
    unrequested_drain: CancellationToken,
    /// Set together with `drain`; cheap enough to read on every request.
    draining: AtomicBool,
    load: Arc<Load>,
    metrics: Metrics,
    access_log: AccessLog,
    /// Of all workers, which accept from the same socket.
    accept_failures: AcceptFailures,
}

/// Error for a request with a stale generation. Contains the newest generation that the unit has
/// seen.
#[derive(Debug)]
pub(crate) struct Stale(pub(crate) Generation);

impl Shared {
    pub(crate) fn new(config: UnitConfig, address: SocketAddr, listener: Arc<TcpListener>) -> Self {
        let workers = config.workers.get();
        Self {
            newest_generation: AtomicU64::new(config.generation.0),
            status: Status::new(&config),
            config,
            address,
            listener: Mutex::new(Some(listener)),
            configurations: (0..workers).map(|_| ArcSwapOption::empty()).collect(),
            changing: Mutex::new(()),
            configured: CancellationToken::new(),
            leaves_until: watch::Sender::default(),
            drain: CancellationToken::new(),
            unrequested_drain: CancellationToken::new(),
            draining: AtomicBool::new(false),
            load: Arc::default(),
            metrics: Metrics::new(workers),
            access_log: AccessLog::default(),
            accept_failures: AcceptFailures::new(address.to_string()),
        }
    }

    pub(crate) fn accept_failures(&self) -> &AcceptFailures {
        &self.accept_failures
    }

    /// Records `generation` as seen, or returns an error if a newer one was seen before.
    pub(crate) fn admit(&self, generation: Generation) -> Result<(), Stale> {
        let newest = self.newest_generation.fetch_max(generation.0, Ordering::AcqRel);
        if generation.0 < newest { Err(Stale(Generation(newest))) } else { Ok(()) }
    }

    pub(crate) fn newest_generation(&self) -> Generation {
        Generation(self.newest_generation.load(Ordering::Acquire))
    }

    /// Returns the listening socket, or `None` once the unit drains.
    pub(crate) fn listener(&self) -> Option<Arc<TcpListener>> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts `message` in force, unless a newer configuration is. Returns the revision in force.
    pub(crate) fn configure(
        &self,
        message: Option<GatewayConfiguration>,
    ) -> Result<u64, ConfigurationError> {
        let message = message.ok_or(ConfigurationError::Missing)?;
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, others) =
            self.configurations.split_first().expect("a unit has at least one worker");
        let current = first.load_full();
        if let Some(current) =
            current.as_ref().filter(|current| current.revision > message.revision)
        {
            return Ok(current.revision);
        }
        let new = Configuration::check(message, current.as_deref(), &self.metrics)?;
        let revision = new.revision;
        tracing::info!(
            revision,
            enabled = new.is_enabled(),
            apis = new.apis().len(),
            "configuration applied"
        );
        let leaves_until = new.leaves_until();
        self.metrics.retain(new.apis().iter().map(|api| (api.name.as_str(), &api.counters)));
        for other in others {
            let copy = new.for_another_worker(other.load().as_deref());
            other.store(Some(Arc::new(copy)));
        }
        first.store(Some(Arc::new(new)));
        self.leaves_until.send_replace(leaves_until);
        self.configured.cancel();
        Ok(revision)
    }

    /// Returns the configuration of `worker`, or `None` before the first one. Must not be held
    /// across an await point.
    pub(crate) fn configuration(&self, worker: usize) -> Guard<Option<Arc<Configuration>>> {
        self.configurations[worker].load()
    }

    /// Cancelled once the unit has a configuration.
    pub(crate) fn configured(&self) -> &CancellationToken {
        &self.configured
    }

    /// Returns once clients are to leave because the gateway was disabled. One that was disabled longer
    /// ago refuses them instead.
    pub(crate) async fn leaving(&self) {
        self.until_leaving().await;
    }

    /// Returns once clients that have not left a gateway that was disabled are refused.
    pub(crate) async fn end_of_leaving(&self) {
        let until = self.until_leaving().await;
        sleep_until(until.into()).await;
    }

    async fn until_leaving(&self) -> Instant {
        let is_leaving =
            |until: &Option<Instant>| until.is_some_and(|until| until > Instant::now());
        let mut leaves_until = self.leaves_until.subscribe();
        let until = leaves_until.wait_for(is_leaving).await.ok().and_then(|until| *until);
        match until {
            Some(until) => until,
            // The sender lives as long as this.
            None => std::future::pending().await,
        }
    }

    /// Starts the drain. Idempotent.
    pub(crate) fn start_drain(&self) {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.draining.store(true, Ordering::Release);
        self.drain.cancel();
    }

    /// Starts a drain that the agent did not request. Idempotent.
    pub(crate) fn start_unrequested_drain(&self) {
        self.start_drain();
        self.unrequested_drain.cancel();
    }

    /// Cancelled when a drain starts that the agent did not request: the control connections are
    /// closed, so that the agent connects again and learns of it.
    pub(crate) fn unrequested_drain(&self) -> &CancellationToken {
        &self.unrequested_drain
    }

    /// Returns true once the unit drains.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Cancelled when the drain starts.
    pub(crate) fn drain(&self) -> &CancellationToken {
        &self.drain
    }

    pub(crate) fn load(&self) -> &Arc<Load> {
        &self.load
    }

    pub(crate) fn config(&self) -> &UnitConfig {
        &self.config
    }

    pub(crate) fn status(&self) -> &Status {
        &self.status
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(crate) fn access_log(&self) -> &AccessLog {
        &self.access_log
    }

    /// Returns the current load.
    pub(crate) fn read_load(&self) -> UnitLoad {
        let configuration = self.configuration(0);
        let limit = configuration
            .as_ref()
            .map_or(0, |configuration| configuration.limits.concurrent_requests());
        self.load.read(limit)
    }

    pub(crate) fn identity(&self) -> UnitIdentity {
        let config = &self.config;
        let configuration = self.configuration(0);
        let state = match configuration.as_ref() {
            _ if self.is_draining() => UnitState::Draining,
            Some(_) => UnitState::Serving,
            None => UnitState::Waiting,
        };
        UnitIdentity {
            cluster: config.cluster.to_string(),
            agent: config.agent.to_string(),
            service: config.unit.service.to_string(),
            region: config.unit.region.to_string(),
            slot: config.unit.slot.into(),
            incarnation: config.incarnation.0,
            build: config.build.clone(),
            configuration_revision: configuration
                .as_ref()
                .map_or(0, |configuration| configuration.revision),
            address: self.address.to_string(),
            state: state.into(),
            newest_generation: self.newest_generation().0,
            load: Some(self.read_load()),
        }
    }
}
