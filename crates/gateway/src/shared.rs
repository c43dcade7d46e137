//! What the control socket and the server of a unit have in common.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use meridian_domain::Generation;
use meridian_proto::v1::{UnitIdentity, UnitState};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::UnitConfig;

/// What the control socket and the server of a unit have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    config: UnitConfig,
    address: SocketAddr,
    newest_generation: AtomicU64,
    listener: Mutex<Option<Arc<TcpListener>>>,
    drain: CancellationToken,
}

/// A request carries an older generation than this, the newest that was seen.
#[derive(Debug)]
pub(crate) struct Stale(pub(crate) Generation);

impl Shared {
    pub(crate) fn new(config: UnitConfig, address: SocketAddr, listener: Arc<TcpListener>) -> Self {
        Self {
            newest_generation: AtomicU64::new(config.generation.0),
            config,
            address,
            listener: Mutex::new(Some(listener)),
            drain: CancellationToken::new(),
        }
    }

    /// Accepts a request of `generation`, unless a newer one was seen; then remembers it.
    pub(crate) fn admit(&self, generation: Generation) -> Result<(), Stale> {
        let newest = self.newest_generation.fetch_max(generation.0, Ordering::AcqRel);
        if generation.0 < newest { Err(Stale(Generation(newest))) } else { Ok(()) }
    }

    pub(crate) fn newest_generation(&self) -> Generation {
        Generation(self.newest_generation.load(Ordering::Acquire))
    }

    /// The listening socket, until the unit drains.
    pub(crate) fn listener(&self) -> Option<Arc<TcpListener>> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Begins the drain. Harmless to repeat.
    pub(crate) fn start_drain(&self) {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.drain.cancel();
    }

    /// Set when the unit drains.
    pub(crate) fn drain(&self) -> &CancellationToken {
        &self.drain
    }

    pub(crate) fn identity(&self) -> UnitIdentity {
        let config = &self.config;
        let state =
            if self.drain.is_cancelled() { UnitState::Draining } else { UnitState::Serving };
        UnitIdentity {
            cluster: config.cluster.to_string(),
            agent: config.agent.to_string(),
            service: config.unit.service.to_string(),
            region: config.unit.region.to_string(),
            slot: config.unit.slot.into(),
            incarnation: config.incarnation.0,
            build: config.build.clone(),
            configuration_revision: config.configuration.0,
            address: self.address.to_string(),
            state: state.into(),
            newest_generation: self.newest_generation().0,
        }
    }
}
