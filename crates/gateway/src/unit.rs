//! The unit put together.

use std::io;
use std::net::TcpListener as StdTcpListener;
use std::sync::Arc;

use futures::future::join_all;
use tokio::net::{TcpListener, UnixListener};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::backends::Connector;
use crate::config::UnitConfig;
use crate::control;
use crate::crew::{Crew, Inbox};
use crate::load::{self, Load};
use crate::lock::{Lock, LockError};
use crate::runtime::Thread;
use crate::shared::Shared;
use crate::worker::Worker;

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
    /// A thread could not be started.
    #[error("a worker's thread could not be started")]
    Thread(#[source] io::Error),
}

/// A unit that holds its lock and its sockets.
#[derive(Debug)]
pub struct Unit {
    lock: Lock,
    control: UnixListener,
    listener: Arc<TcpListener>,
    first: (Worker, Inbox),
    others: Vec<Thread>,
    shared: Arc<Shared>,
    /// Set when the unit is dropped, also within its run: then its other threads end too.
    abandoned: CancellationToken,
}

impl Unit {
    /// Locks the incarnation, opens the control socket and starts the workers; `listener` must not
    /// block. The control socket is answered once the unit [runs](Self::run), calls from the first
    /// configuration on.
    ///
    /// # Errors
    /// If the incarnation runs already or is not wanted any more, a socket cannot be used, or a
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
        let abandoned = CancellationToken::new();
        let connector = Connector::new();
        let (crew, inboxes) = Crew::new(shared.config().workers);
        let worker =
            |number| Worker::new(number, Arc::clone(&shared), Arc::clone(&crew), connector.clone());
        let mut inboxes = inboxes.into_iter();
        let first = (worker(0), inboxes.next().expect("there is a worker at least"));
        let start = |((duplicate, inbox), number)| {
            Thread::start(worker(number), duplicate, inbox, abandoned.clone())
        };
        let others: io::Result<Vec<Thread>> =
            duplicates.into_iter().zip(inboxes).zip(1..).map(start).collect();
        let others = others.inspect_err(|_| abandoned.cancel()).map_err(BuildError::Thread)?;
        Ok(Self { lock, control, listener, first, others, shared, abandoned })
    }

    /// Serves until `shutdown` ends, the agent says so, or no agent can want it; then drains.
    /// Returns when the last connection has ended, about ten seconds later at most.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { lock, control, listener, first, others, shared, abandoned } = self;
        let _abandoned = abandoned.drop_guard();
        let drain = shared.drain().clone();
        let (first, inbox) = first;
        let serving = Arc::new(first).serve(listener, inbox);
        let others = join_all(others.into_iter().map(Thread::ended));
        let ending = async {
            let why = tokio::select! {
                () = shutdown => "it was terminated",
                () = drain.cancelled() => "its agent said so",
                why = lock.unwanted() => why,
            };
            tracing::info!(why, "the unit ends");
            shared.start_drain();
        };
        let answering = control::serve(control, Arc::clone(&shared));
        tokio::select! {
            _ = async { tokio::join!(serving, others, ending) } => {}
            () = answering => {}
            () = sample(shared.load()) => {}
        }
        shared.access_log().flush();
        tracing::info!("drained");
    }
}

/// Observes the load, for ever.
async fn sample(load: &Load) {
    loop {
        sleep(load::SAMPLING).await;
        load.sample();
    }
}
