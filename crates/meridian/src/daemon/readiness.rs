//! Readiness of an agent. An agent becomes ready once it is registered in a bootstrapped cluster and
//! has completed one linearizable read, so that its state includes every change acknowledged before
//! it started. From then on it is ready as long as it knows a leader, and its disk responds. An agent
//! without which the cluster was recovered is not ready.

use std::sync::Arc;
use std::time::Duration;

use meridian_domain::{AgentDescription, Epoch};
use meridian_ports::{Consistency, Leadership, Read};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::telemetry::health::Health;

/// Timeout of one read.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval between reads.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Keeps the health of the agent with this description up to date until aborted.
pub async fn follow(
    health: Health,
    description: AgentDescription,
    read: Arc<dyn Read>,
    mut leadership: watch::Receiver<Leadership>,
    mut suspended: watch::Receiver<Option<String>>,
    mut superseded: watch::Receiver<Option<Epoch>>,
) {
    while let Err(reason) = catch_up(&description, &*read).await {
        let superseded = superseded.borrow_and_update().map(excluded);
        let cause = superseded.or_else(|| suspended.borrow().clone());
        health.set_not_ready(Some(cause.unwrap_or(reason)));
        sleep(POLL_INTERVAL).await;
    }
    tracing::info!(revision = %read.state().header.revision, "agent ready");
    loop {
        let cause = suspended.borrow_and_update().clone();
        let leaderless = leadership.borrow_and_update().leader().is_none();
        let leaderless = leaderless.then(|| "no leader is known".to_owned());
        let superseded_by = superseded.borrow_and_update().map(excluded);
        health.set_not_ready(superseded_by.or(cause).or(leaderless));
        let changed = tokio::select! {
            changed = leadership.changed() => changed,
            changed = suspended.changed() => changed,
            changed = superseded.changed() => changed,
        };
        if changed.is_err() {
            // The node has stopped, and the agent is about to.
            std::future::pending::<()>().await;
        }
    }
}

/// Reason why an agent is not ready if the cluster was recovered without it.
fn excluded(epoch: Epoch) -> String {
    format!(
        "the cluster was recovered as epoch {epoch} without this agent; empty its data directory and \
         join it again"
    )
}

/// Reads once.
///
/// # Errors
/// The reason why the agent is not ready.
async fn catch_up(description: &AgentDescription, read: &dyn Read) -> Result<(), String> {
    let deadline = Instant::now() + READ_TIMEOUT;
    let fresh = read.read(Consistency::Linearizable, deadline).await;
    fresh.map_err(|error| error.to_string())?;
    let state = read.state();
    if state.header.cluster.is_none() {
        return Err("the cluster is not bootstrapped yet".to_owned());
    }
    let registered = state.agents.get(&description.name);
    match registered.filter(|agent| agent.description.node == description.node) {
        Some(_) => Ok(()),
        None => Err("this agent is not registered in its cluster".to_owned()),
    }
}
