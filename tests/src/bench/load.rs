//! Clients that write in a closed loop.

use std::fmt;
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::member::{Client, Cluster, MEMBERS};

/// The warm-up is the measured time divided by this.
const WARM_UP_DIVISOR: u32 = 5;

/// Parameters of a load.
pub struct Load {
    /// Number of concurrent clients.
    pub clients: u16,
    /// Member used by the first client; each further client uses the next member.
    pub first: u16,
    /// Measured time.
    pub time: Duration,
}

/// Result of a load.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Acknowledged writes per second.
    pub per_second: f64,
    /// Median latency of a write.
    pub median: Duration,
    /// 99th percentile of the latency.
    pub p99: Duration,
    /// CPU time of all members per write.
    pub cpu: Duration,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { per_second, median, p99, cpu } = self;
        write!(f, "{per_second:.0}/s, median {median:.2?}, p99 {p99:.2?}, CPU {cpu:.0?}")
    }
}

impl Load {
    /// Runs the load.
    ///
    /// # Errors
    /// If a write fails.
    pub async fn run<C: Cluster>(&self, cluster: &C) -> anyhow::Result<Sample> {
        let mut clients = Vec::new();
        for number in 0..usize::from(self.clients) {
            let member = (number + usize::from(self.first)) % MEMBERS;
            clients.push(cluster.client(number, member).await?);
        }
        let begin = Instant::now() + self.time / WARM_UP_DIVISOR;
        let end = begin + self.time;
        let mut writing = JoinSet::new();
        for client in clients {
            writing.spawn(write(client, begin, end));
        }
        tokio::time::sleep_until(begin).await;
        let before = cluster.cpu_time()?;
        tokio::time::sleep_until(end).await;
        let cpu = cluster.cpu_time()? - before;
        let mut latencies = Vec::new();
        while let Some(written) = writing.join_next().await {
            latencies.extend(written?.with_context(|| format!("a write to {} failed", C::NAME))?);
        }
        latencies.sort_unstable();
        anyhow::ensure!(!latencies.is_empty(), "{} acknowledged no write in time", C::NAME);
        let percentile = |percent: usize| latencies[(latencies.len() - 1) * percent / 100];
        let per_second = latencies.len() as f64 / self.time.as_secs_f64();
        let cpu = cpu.div_f64(latencies.len() as f64);
        Ok(Sample { per_second, median: percentile(50), p99: percentile(99), cpu })
    }
}

/// Writes until `end`, and returns the latencies of the writes acknowledged since `begin`.
async fn write(
    mut client: impl Client,
    begin: Instant,
    end: Instant,
) -> anyhow::Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    loop {
        let sent = Instant::now();
        client.write().await?;
        let acknowledged = Instant::now();
        if acknowledged >= end {
            return Ok(latencies);
        }
        if acknowledged >= begin {
            latencies.push(acknowledged - sent);
        }
    }
}
