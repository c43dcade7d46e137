//! Worker threads of a unit: one per core, each with its own runtime and its share of the
//! connections, so that no request crosses cores.

use std::io;
use std::net::TcpListener as StdTcpListener;
use std::sync::Arc;
use std::thread;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::worker::Worker;
use crate::worker_pool::Inbox;

/// A worker that runs on its own thread.
#[derive(Debug)]
pub(crate) struct WorkerThread(oneshot::Receiver<()>);

impl WorkerThread {
    /// Spawns a thread on which `worker` serves `listener`, until the drain is complete or
    /// `aborted` is cancelled.
    pub(crate) fn start(
        worker: Worker,
        listener: StdTcpListener,
        inbox: Inbox,
        aborted: CancellationToken,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _entered = runtime.enter();
            Arc::new(TcpListener::from_std(listener)?)
        };
        let (exited, exit) = oneshot::channel();
        let name = format!("worker-{}", worker.number);
        thread::Builder::new().name(name).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = Arc::new(worker).serve(listener, inbox) => {}
                    () = aborted.cancelled() => {}
                }
            });
            // The receiver is gone if the unit was dropped.
            exited.send(()).ok();
        })?;
        Ok(Self(exit))
    }

    /// Waits until the thread has exited. Logs an error if it panicked.
    pub(crate) async fn join(self) {
        if self.0.await.is_err() {
            tracing::error!("a worker thread panicked; its connections are lost");
        }
    }
}
