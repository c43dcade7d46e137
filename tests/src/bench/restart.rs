//! Starting an agent with a long log.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::agents::Agents;
use super::load::Load;
use super::member::{Cluster as _, MEMBERS};

/// Clients that make the events.
const CLIENTS: u16 = 128;
/// How long they do, between two looks at how far they are.
const SPELL: Duration = Duration::from_secs(2);
/// How long the agents are left alone before one is killed.
const REST: Duration = Duration::from_secs(2);

/// What starting an agent came to.
#[derive(Debug)]
pub struct Restart {
    /// From its start to its first answer.
    pub took: Duration,
    /// Its memory, at rest.
    pub resident_bytes: u64,
}

/// Makes changes until the log has that many events.
///
/// # Errors
/// If a change is refused.
pub async fn fill(agents: &Agents, events: u64) -> anyhow::Result<()> {
    loop {
        let there = agents.revision(0).await?;
        if there >= events {
            return Ok(());
        }
        eprintln!("{there} of {events} events");
        Load { clients: CLIENTS, first: 0, time: SPELL }.run(agents).await?;
    }
}

/// Kills an agent that does not lead, and starts it again.
///
/// # Errors
/// If it does not come back.
pub async fn measure(agents: &mut Agents) -> anyhow::Result<Restart> {
    sleep(REST).await;
    let member = (agents.leader(0).await? + 1) % MEMBERS;
    agents.kill(member).await?;
    let started = Instant::now();
    agents.start_again(member).await?;
    let took = started.elapsed();
    sleep(REST).await;
    Ok(Restart { took, resident_bytes: agents.resident_bytes()?[member] })
}
