//! From a killed leader to the next acknowledged write.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::member::{Client as _, Cluster, MEMBERS, until};

/// Between two writes that are begun while there is no leader.
const PAUSE: Duration = Duration::from_millis(10);
/// How long a cluster may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the cluster is left alone before: long enough for every member to follow the leader.
const REST: Duration = Duration::from_secs(2);

/// Kills the leader, measures, and starts it again.
///
/// # Errors
/// If no write is acknowledged, or the member does not come back.
pub async fn measure<C: Cluster>(cluster: &mut C) -> anyhow::Result<Duration> {
    sleep(REST).await;
    let leader = until(async || cluster.leader(0).await).await?;
    let mut survivors = Vec::new();
    for member in (0..MEMBERS).filter(|member| *member != leader) {
        let mut client = cluster.client(member, member).await?;
        client.write().await?;
        survivors.push(client);
    }
    let killed = Instant::now();
    cluster.kill(leader).await?;
    let acknowledged = timeout(PATIENCE, first_write(&survivors)).await;
    let acknowledged = acknowledged.map_err(|_| anyhow::anyhow!("{} stays dead", C::NAME))?;
    let took = acknowledged - killed;
    cluster.start_again(leader).await?;
    Ok(took)
}

/// Begins a write every now and then, and returns when the first is acknowledged.
async fn first_write(survivors: &[impl super::member::Client]) -> Instant {
    let mut writes = JoinSet::new();
    let mut turns = survivors.iter().cycle().cloned();
    loop {
        if let Some(mut client) = turns.next() {
            writes.spawn(async move { client.write().await.map(|()| Instant::now()) });
        }
        let pause = sleep(PAUSE);
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
