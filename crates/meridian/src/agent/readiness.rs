//! Whether an agent is ready: it is registered in a founded cluster, and has read the state once as
//! of after its start, so that it knows all that was acknowledged before; from then on, as long as it
//! follows a leader.

use std::sync::Arc;
use std::time::Duration;

use meridian_domain::AgentDescription;
use meridian_ports::{Cluster, Consistency, Read};
use tokio::time::{Instant, sleep};

use crate::telemetry::health::Health;

/// For one attempt to read.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two attempts, and two looks for a leader.
const PAUSE: Duration = Duration::from_millis(100);

/// Keeps the health of the agent that describes itself so up to date until aborted.
pub async fn follow(
    health: Health,
    description: AgentDescription,
    read: Arc<dyn Read>,
    cluster: Arc<dyn Cluster>,
) {
    while let Err(obstacle) = catch_up(&description, &*read).await {
        health.set_obstacle(Some(obstacle));
        sleep(PAUSE).await;
    }
    tracing::info!(revision = %read.state().header.revision, "ready");
    loop {
        let leaderless = cluster.leader().is_none();
        health.set_obstacle(leaderless.then(|| "no leader is known".to_owned()));
        sleep(PAUSE).await;
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
