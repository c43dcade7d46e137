//! Whether an agent is ready: it is registered in a founded cluster, and has read the state once as
//! of after its start, so that it knows all that was acknowledged before; from then on, as long as it
//! follows a leader.

use std::sync::Arc;
use std::time::Duration;

use meridian_domain::AgentDescription;
use meridian_ports::{Consistency, Leadership, Read};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::telemetry::health::Health;

/// Timeout of one read.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// Keeps the health of the agent that describes itself so up to date until aborted.
pub async fn follow(
    health: Health,
    description: AgentDescription,
    read: Arc<dyn Read>,
    mut leadership: watch::Receiver<Leadership>,
) {
    while let Err(obstacle) = catch_up(&description, &*read).await {
        health.set_obstacle(Some(obstacle));
        sleep(PAUSE).await;
    }
    tracing::info!(revision = %read.state().header.revision, "ready");
    loop {
        let leaderless = leadership.borrow_and_update().leader().is_none();
        health.set_obstacle(leaderless.then(|| "no leader known".to_owned()));
        if leadership.changed().await.is_err() {
            // The node has stopped; the agent is about to.
            std::future::pending::<()>().await;
        }
    }
}

/// Reads once; says what keeps the agent from being ready.
async fn catch_up(description: &AgentDescription, read: &dyn Read) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    let fresh = read.read(Consistency::Linearizable, deadline).await;
    fresh.map_err(|error| error.to_string())?;
    let state = read.state();
    if state.header.cluster.is_none() {
        return Err("the cluster is not founded yet".to_owned());
    }
    let registered = state.agents.get(&description.name);
    match registered.filter(|agent| agent.description.node == description.node) {
        Some(_) => Ok(()),
        None => Err("this agent is not registered in its cluster".to_owned()),
    }
}
