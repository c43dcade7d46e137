//! The unit put together.

use std::io;
use std::net::TcpListener as StdTcpListener;
use std::sync::Arc;

use tokio::net::{TcpListener, UnixListener};

use crate::config::{Patience, UnitConfig};
use crate::control;
use crate::lock::{Lock, LockError};
use crate::routes::Routes;
use crate::serve::serve;
use crate::shared::Shared;

/// Why a unit could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// It may not run.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The control socket could not be opened.
    #[error("the control socket could not be opened")]
    Control(#[source] io::Error),
    /// The listening socket is of no use.
    #[error("the listening socket cannot be used")]
    Listener(#[source] io::Error),
}

/// A unit that holds its lock and its sockets.
#[derive(Debug)]
pub struct Unit {
    lock: Lock,
    control: UnixListener,
    listener: Arc<TcpListener>,
    routes: Routes,
    patience: Patience,
    shared: Arc<Shared>,
}

impl Unit {
    /// Locks the incarnation and opens the control socket; `listener` must not block. Calls are
    /// answered, and the control socket too, once it [runs](Self::run).
    ///
    /// # Errors
    /// If the incarnation runs already or is not wanted any more, or a socket cannot be used.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn build(config: UnitConfig, listener: StdTcpListener) -> Result<Self, BuildError> {
        let lock = Lock::acquire(&config.directory, config.incarnation, config.generation)?;
        let address = listener.local_addr().map_err(BuildError::Listener)?;
        let listener = Arc::new(TcpListener::from_std(listener).map_err(BuildError::Listener)?);
        let control = control::bind(&config.directory, config.incarnation);
        let routes = Routes::new(&config);
        tracing::info!(
            unit = %config.unit,
            incarnation = %config.incarnation,
            cluster = %config.cluster,
            build = config.build,
            %address,
            "serving"
        );
        Ok(Self {
            lock,
            control: control.map_err(BuildError::Control)?,
            routes,
            patience: config.patience,
            shared: Arc::new(Shared::new(config, address, Arc::clone(&listener))),
            listener,
        })
    }

    /// Serves until `shutdown` ends, the agent says so, or the lock file is deleted; then drains.
    /// Returns when the last connection has ended, about ten seconds later at most.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { lock, control, listener, routes, patience, shared } = self;
        let drain = shared.drain().clone();
        let serving = serve(listener, routes, patience, drain.clone());
        let ending = async {
            let why = tokio::select! {
                () = shutdown => "it was terminated",
                () = drain.cancelled() => "its agent said so",
                () = lock.deleted() => "its lock file was deleted",
            };
            tracing::info!(why, "the unit ends");
            shared.start_drain();
        };
        let answering = control::serve(control, Arc::clone(&shared));
        tokio::select! {
            ((), ()) = async { tokio::join!(serving, ending) } => {}
            () = answering => {}
        }
        tracing::info!("drained");
    }
}
