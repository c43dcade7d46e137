//! Starts an agent with a long log.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::agents::Agents;
use super::load::Load;
use super::member::{Cluster as _, MEMBERS};

/// Number of clients that create the events.
const CLIENTS: u16 = 128;
/// Duration of each load, between checks of the number of events.
const LOAD: Duration = Duration::from_secs(2);
/// Time to settle before an agent is killed.
const SETTLE: Duration = Duration::from_secs(2);

/// Result of restarting an agent.
#[derive(Debug)]
pub struct Restart {
    /// Time from the start of the process to its first successful read.
    pub elapsed: Duration,
    /// Resident memory when idle, in bytes.
    pub resident_bytes: u64,
}

/// Submits changes until the log has `events` events.
///
/// # Errors
/// If a change fails.
pub async fn fill(agents: &Agents, events: u64) -> anyhow::Result<()> {
    loop {
        let existing = agents.revision(0).await?;
        if existing >= events {
            return Ok(());
        }
        eprintln!("{existing} of {events} events");
        Load { clients: CLIENTS, first: 0, time: LOAD }.run(agents).await?;
    }
}

/// Kills a follower and restarts it.
///
/// # Errors
/// If it does not become ready in time.
pub async fn measure(agents: &mut Agents) -> anyhow::Result<Restart> {
    sleep(SETTLE).await;
    let member = (agents.leader(0).await? + 1) % MEMBERS;
    agents.kill(member).await?;
    let started = Instant::now();
    agents.restart(member).await?;
    let elapsed = started.elapsed();
    sleep(SETTLE).await;
    Ok(Restart { elapsed, resident_bytes: agents.resident_bytes()?[member] })
}
