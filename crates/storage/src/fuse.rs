//! The one way in which a node stops itself: the first error that must not be survived.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

/// Blows once, at the first error after which this node must acknowledge nothing more: a storage
/// error, an unreadable entry. Cheap to clone; every clone is the same fuse.
#[derive(Clone)]
pub struct Fuse {
    cause: Arc<watch::Sender<Option<String>>>,
}

impl Default for Fuse {
    fn default() -> Self {
        Self { cause: Arc::new(watch::Sender::new(None)) }
    }
}

impl Fuse {
    /// Stops the node because of `cause`. Only the first cause counts.
    pub fn blow(&self, cause: impl fmt::Display) {
        self.cause.send_if_modified(|present| {
            let first = present.is_none();
            if first {
                let cause = cause.to_string();
                tracing::error!(%cause, "stopping: this node can no longer be trusted with data");
                *present = Some(cause);
            }
            first
        });
    }

    /// Spawns a task that the node cannot work without: should it panic, the node stops, instead of
    /// going on with a part of it missing.
    pub fn guard(&self, what: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let (fuse, task) = (self.clone(), tokio::spawn(task));
        tokio::spawn(async move {
            if task.await.is_err_and(|error| error.is_panic()) {
                fuse.blow(format_args!("{what} panicked; the agent's log has the details"));
            }
        });
    }

    /// Why the node stops, if it does.
    #[must_use]
    pub fn cause(&self) -> Option<String> {
        self.cause.borrow().clone()
    }

    /// Returns the cause once the fuse has blown. Cancel-safe.
    pub async fn blown(&self) -> String {
        let mut cause = self.cause.subscribe();
        let blown = cause.wait_for(Option::is_some).await;
        // The sender lives as long as this reference to it, so the channel is open.
        blown.expect("the fuse is alive").clone().expect("the fuse has blown")
    }
}

impl fmt::Debug for Fuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fuse").field("cause", &self.cause()).finish()
    }
}
