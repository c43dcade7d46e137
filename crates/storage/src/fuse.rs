//! Node-wide stop on the first unrecoverable error.

use std::any::Any;
use std::fmt;
use std::io;
use std::sync::Arc;

use tokio::sync::watch;

/// Blows once, on the first error after which this node must not acknowledge anything: a storage
/// error or an unreadable entry. Cheap to clone; all clones share one state.
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
    /// Stops the node because of `cause`. Only the first cause is kept.
    pub fn blow(&self, cause: impl fmt::Display) {
        self.cause.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                let cause = cause.to_string();
                tracing::error!(%cause, "unrecoverable error: stopping this node");
                *current = Some(cause);
            }
            first
        });
    }

    /// Spawns a task that the node cannot run without: if it panics, the node stops instead of
    /// continuing without it.
    pub fn guard(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let (fuse, task) = (self.clone(), tokio::spawn(task));
        tokio::spawn(async move {
            if task.await.is_err_and(|error| error.is_panic()) {
                fuse.blow(format_args!("{name} panicked; see the log of the agent"));
            }
        });
    }

    /// Returns the cause if the fuse has blown.
    #[must_use]
    pub fn cause(&self) -> Option<String> {
        self.cause.borrow().clone()
    }

    /// Checks that the fuse has not blown: nothing is written or acknowledged afterwards.
    ///
    /// # Errors
    /// If the fuse has blown, with the cause.
    pub fn check(&self) -> io::Result<()> {
        match self.cause() {
            None => Ok(()),
            Some(cause) => Err(io::Error::other(format!("this node is stopping: {cause}"))),
        }
    }

    /// Waits until the fuse has blown and returns the cause. Cancel-safe.
    pub async fn blown(&self) -> String {
        let mut cause = self.cause.subscribe();
        let blown = cause.wait_for(Option::is_some).await;
        // `self` holds the sender, so the channel is open.
        blown.expect("the sender is alive").clone().expect("the fuse has blown")
    }
}

impl fmt::Debug for Fuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fuse").field("cause", &self.cause()).finish()
    }
}

/// Returns the message of a panic that was caught.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or(panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
