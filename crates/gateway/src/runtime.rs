//! The threads of a unit: one a core, each with a runtime of its own and its share of the
//! connections, so that no call crosses from one core to another.

use std::io;
use std::net::TcpListener as StdTcpListener;
use std::sync::Arc;
use std::thread;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::crew::Inbox;
use crate::worker::Worker;

/// A worker on a thread of its own.
#[derive(Debug)]
pub(crate) struct Thread(oneshot::Receiver<()>);

impl Thread {
    /// Has `worker` serve `listener` on a new thread, until the drain is done or `abandoned` is set.
    pub(crate) fn start(
        worker: Worker,
        listener: StdTcpListener,
        inbox: Inbox,
        abandoned: CancellationToken,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _entered = runtime.enter();
            Arc::new(TcpListener::from_std(listener)?)
        };
        let (ended, ends) = oneshot::channel();
        let name = format!("worker-{}", worker.number);
        thread::Builder::new().name(name).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = Arc::new(worker).serve(listener, inbox) => {}
                    () = abandoned.cancelled() => {}
                }
            });
            // Nobody waits any more where the unit was abandoned.
            ended.send(()).ok();
        })?;
        Ok(Self(ends))
    }

    /// Returns when the thread has ended.
    pub(crate) async fn ended(self) {
        if self.0.await.is_err() {
            tracing::error!("a worker panicked; its connections are lost");
        }
    }
}
