//! Time from killing the leader to the next acknowledged write.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::member::{Client as _, Cluster, MEMBERS, until};

/// Interval between writes while there is no leader.
const INTERVAL: Duration = Duration::from_millis(10);
/// Timeout of a failover.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Time to settle before the leader is killed, so that every member follows it.
const SETTLE: Duration = Duration::from_secs(2);

/// Kills the leader, measures the time to the next acknowledged write, and restarts the killed
/// member.
///
/// # Errors
/// If no write is acknowledged in time, or the member does not recover.
pub async fn measure<C: Cluster>(cluster: &mut C) -> anyhow::Result<Duration> {
    sleep(SETTLE).await;
    let leader = until(async || cluster.leader(0).await).await?;
    let mut survivors = Vec::new();
    for member in (0..MEMBERS).filter(|member| *member != leader) {
        let mut client = cluster.client(member, member).await?;
        client.write().await?;
        survivors.push(client);
    }
    let killed = Instant::now();
    cluster.kill(leader).await?;
    let acknowledged = timeout(TIMEOUT, first_write(&survivors)).await;
    let acknowledged = acknowledged
        .map_err(|_| anyhow::anyhow!("{} acknowledged no write within {TIMEOUT:?}", C::NAME))?;
    let elapsed = acknowledged - killed;
    cluster.restart(leader).await?;
    Ok(elapsed)
}

/// Sends writes at a fixed interval, and returns the time of the first acknowledgement.
async fn first_write(survivors: &[impl super::member::Client]) -> Instant {
    let mut writes = JoinSet::new();
    let mut clients = survivors.iter().cycle().cloned();
    loop {
        if let Some(mut client) = clients.next() {
            writes.spawn(async move { client.write().await.map(|()| Instant::now()) });
        }
        let pause = sleep(INTERVAL);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                Some(written) = writes.join_next() => {
                    if let Ok(Ok(acknowledged)) = written {
                        return acknowledged;
                    }
                }
                () = &mut pause => break,
            }
        }
    }
}
