//! Assembly of a unit from its parts.

use std::io;
use std::net::TcpListener as StdTcpListener;
use std::sync::Arc;

use futures::future::join_all;
use meridian_transport::Resolver;
use tokio::net::{TcpListener, UnixListener};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::backends::Connector;
use crate::config::UnitConfig;
use crate::control;
use crate::load::{self, Load};
use crate::lock::{Lock, LockError};
use crate::shared::Shared;
use crate::worker::Worker;
use crate::worker_pool::{Inbox, WorkerPool};
use crate::worker_thread::WorkerThread;

/// Error returned by [`Unit::build`].
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The incarnation cannot be locked.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The control socket cannot be opened.
    #[error("failed to open the control socket")]
    Control(#[source] io::Error),
    /// The listening socket cannot be used.
    #[error("the listening socket cannot be used")]
    Listener(#[source] io::Error),
    /// A worker thread cannot be started.
    #[error("failed to start a worker thread")]
    Thread(#[source] io::Error),
}

/// A unit that holds its lock and its sockets.
#[derive(Debug)]
pub struct Unit {
    lock: Lock,
    control: UnixListener,
    listener: Arc<TcpListener>,
    /// The worker that runs on the thread of the caller of [`Unit::run`].
    first_worker: (Worker, Inbox),
    other_workers: Vec<WorkerThread>,
    shared: Arc<Shared>,
    /// Cancelled when the unit is dropped, also while it runs, so that the other threads end too.
    aborted: CancellationToken,
}

impl Unit {
    /// Locks the incarnation, opens the control socket and starts the workers.
    ///
    /// `listener` must be non-blocking. The unit responds on the control socket once it
    /// [runs](Self::run), and serves requests once it has a configuration.
    ///
    /// # Errors
    /// If the incarnation is already running or not wanted anymore, a socket cannot be used, or a
    /// thread cannot be started.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn build(config: UnitConfig, listener: StdTcpListener) -> Result<Self, BuildError> {
        let lock = Lock::acquire(&config.directory, config.incarnation, config.generation)?;
        let address = listener.local_addr().map_err(BuildError::Listener)?;
        let duplicates: io::Result<Vec<StdTcpListener>> =
            (1..config.workers.get()).map(|_| listener.try_clone()).collect();
        let duplicates = duplicates.map_err(BuildError::Listener)?;
        let listener = Arc::new(TcpListener::from_std(listener).map_err(BuildError::Listener)?);
        let control = control::bind(&config.directory, config.incarnation);
        let control = control.map_err(BuildError::Control)?;
        tracing::info!(
            unit = %config.unit,
            incarnation = %config.incarnation,
            cluster = %config.cluster,
            build = config.build,
            workers = config.workers,
            %address,
            "waiting for a configuration"
        );
        let shared = Arc::new(Shared::new(config, address, Arc::clone(&listener)));
        let aborted = CancellationToken::new();
        let connector = Connector::new(Resolver::default());
        let (pool, inboxes) = WorkerPool::new(shared.config().workers);
        let worker =
            |number| Worker::new(number, Arc::clone(&shared), Arc::clone(&pool), connector.clone());
        let mut inboxes = inboxes.into_iter();
        let first_worker = (worker(0), inboxes.next().expect("a unit has at least one worker"));
        let start = |((duplicate, inbox), number)| {
            WorkerThread::start(worker(number), duplicate, inbox, aborted.clone())
        };
        let other_workers: io::Result<Vec<WorkerThread>> =
            duplicates.into_iter().zip(inboxes).zip(1..).map(start).collect();
        let other_workers =
            other_workers.inspect_err(|_| aborted.cancel()).map_err(BuildError::Thread)?;
        Ok(Self { lock, control, listener, first_worker, other_workers, shared, aborted })
    }

    /// Serves until `shutdown` completes, the agent drains the unit, or no agent can reach it any
    /// more; then drains.
    ///
    /// Returns when the last connection has ended: after about ten seconds at most, by default.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { lock, control, listener, first_worker, other_workers, shared, aborted } = self;
        let _aborted = aborted.drop_guard();
        let drain = shared.drain().clone();
        let (first, inbox) = first_worker;
        let serving = Arc::new(first).serve(listener, inbox);
        let other_threads = join_all(other_workers.into_iter().map(WorkerThread::join));
        let shutting_down = async {
            let reason = tokio::select! {
                () = shutdown => "shutdown requested",
                () = drain.cancelled() => {
                    tracing::info!("the agent stops the unit");
                    return;
                }
                reason = lock.obsolete() => reason,
            };
            tracing::info!(reason, "the unit stops");
            shared.start_unrequested_drain();
        };
        let control = control::serve(control, Arc::clone(&shared));
        tokio::select! {
            _ = async { tokio::join!(serving, other_threads, shutting_down) } => {}
            () = control => {}
            () = sample(shared.load()) => {}
        }
        shared.access_log().flush();
        tracing::info!("drained");
    }
}

/// Samples the load periodically; never returns.
async fn sample(load: &Load) {
    loop {
        sleep(load::SAMPLING_INTERVAL).await;
        load.sample();
    }
}
