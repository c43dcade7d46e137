//! Clients that write as fast as they are answered.

use std::fmt;
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::member::{Client, Cluster, MEMBERS};

/// How long the clients write before it counts, as a share of the time that does.
const WARM_UP: u32 = 5;

/// What to have written.
pub struct Load {
    /// How many clients at once.
    pub clients: u16,
    /// The member to which the first client keeps.
    pub first: u16,
    /// How long.
    pub time: Duration,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Acknowledged writes in a second.
    pub per_second: f64,
    /// The time that half of the writes took at most.
    pub median: Duration,
    /// The time that 99 of 100 writes took at most.
    pub p99: Duration,
    /// Processor time of all members, for each write.
    pub processor: Duration,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { per_second, median, p99, processor } = self;
        write!(
            f,
            "{per_second:.0}/s, median {median:.2?}, p99 {p99:.2?}, processor {processor:.0?}"
        )
    }
}

impl Load {
    /// Has it written.
    ///
    /// # Errors
    /// If a write is not acknowledged.
    pub async fn run<C: Cluster>(&self, cluster: &C) -> anyhow::Result<Sample> {
        let mut clients = Vec::new();
        for number in 0..usize::from(self.clients) {
            let member = (number + usize::from(self.first)) % MEMBERS;
            clients.push(cluster.client(number, member).await?);
        }
        let begin = Instant::now() + self.time / WARM_UP;
        let end = begin + self.time;
        let mut writing = JoinSet::new();
        for client in clients {
            writing.spawn(write(client, begin, end));
        }
        tokio::time::sleep_until(begin).await;
        let before = cluster.processor_time()?;
        tokio::time::sleep_until(end).await;
        let processor = cluster.processor_time()? - before;
        let mut took = Vec::new();
        while let Some(written) = writing.join_next().await {
            took.extend(written?.with_context(|| format!("{} refuses a write", C::NAME))?);
        }
        took.sort_unstable();
        anyhow::ensure!(!took.is_empty(), "{} acknowledged nothing in time", C::NAME);
        let share = |percent: usize| took[(took.len() - 1) * percent / 100];
        let per_second = took.len() as f64 / self.time.as_secs_f64();
        let processor = processor.div_f64(took.len() as f64);
        Ok(Sample { per_second, median: share(50), p99: share(99), processor })
    }
}

/// Writes until `end`, and returns how long each write took that ended since `begin`.
async fn write(
    mut client: impl Client,
    begin: Instant,
    end: Instant,
) -> anyhow::Result<Vec<Duration>> {
    let mut took = Vec::new();
    loop {
        let sent = Instant::now();
        client.write().await?;
        let answered = Instant::now();
        if answered >= end {
            return Ok(took);
        }
        if answered >= begin {
            took.push(answered - sent);
        }
    }
}
