//! What a majority confirms of this agent: how new the state is at least, and that it still belongs
//! to the cluster.

use std::sync::Arc;
use std::time::Duration;

use meridian_domain::Revision;
use meridian_ports::{Consistency, Read, ReadError, ReadPoint};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::jitter::jittered;

/// For an answer to one question.
const DEADLINE: Duration = Duration::from_secs(5);
/// Before a question that was not answered is asked again.
const RETRY: Duration = Duration::from_secs(1);
/// Between two questions that were. A node that was removed may never be sent the entry that says
/// so; it has to ask.
const PERIOD: Duration = Duration::from_secs(5);

/// Asks, again and again.
pub(crate) struct Standing {
    read: Arc<dyn Read>,
    /// The first revision that a majority confirmed to this process.
    confirmed: Option<Revision>,
    removed: bool,
    pause: Duration,
    question: JoinSet<Result<ReadPoint, ReadError>>,
}

impl Standing {
    pub(crate) fn new(read: Arc<dyn Read>) -> Self {
        let question = JoinSet::new();
        Self { read, confirmed: None, removed: false, pause: Duration::ZERO, question }
    }

    /// Whether a set of that revision is at least as new as what a majority has confirmed.
    pub(crate) fn confirms(&self, revision: Revision) -> bool {
        self.confirmed.is_some_and(|confirmed| confirmed <= revision)
    }

    /// Whether a majority confirmed that this agent was removed.
    pub(crate) fn is_removed(&self) -> bool {
        self.removed
    }

    /// Returns when a question was answered, or could not be. Cancel-safe.
    pub(crate) async fn heard(&mut self) {
        if self.question.is_empty() {
            let (read, pause) = (Arc::clone(&self.read), self.pause);
            self.question.spawn(async move {
                sleep(pause).await;
                read.read(Consistency::Linearizable, Instant::now() + DEADLINE).await
            });
        }
        match self.question.join_next().await {
            Some(Ok(answer)) => self.take(answer),
            Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
            None => {}
        }
    }

    fn take(&mut self, answer: Result<ReadPoint, ReadError>) {
        self.pause = jittered(if answer.is_ok() { PERIOD } else { RETRY });
        match answer {
            Ok(ReadPoint { revision, .. }) if self.confirmed.is_none() => {
                tracing::info!(%revision, "a majority confirms the state: units may be stopped");
                self.confirmed = Some(revision);
            }
            Ok(_) => {}
            Err(ReadError::Removed) => self.removed = true,
            Err(error) => tracing::debug!(%error, "a majority confirms nothing"),
        }
    }
}
