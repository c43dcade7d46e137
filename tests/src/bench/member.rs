//! The interface of a cluster under measurement.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Number of members of each cluster.
pub const MEMBERS: usize = 3;
/// Timeout of a request.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout for starting a cluster or restarting a member.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Poll interval.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Three processes that acknowledge a write once a majority has it on disk.
pub trait Cluster {
    /// Display name.
    const NAME: &'static str;
    /// Client type.
    type Client: Client;

    /// Connects a client to a member. Clients with different numbers write to different keys.
    ///
    /// # Errors
    /// If the member is unreachable.
    async fn client(&self, number: usize, member: usize) -> anyhow::Result<Self::Client>;

    /// Returns the leader, according to a member.
    ///
    /// # Errors
    /// If the member knows no leader.
    async fn leader(&self, member: usize) -> anyhow::Result<usize>;

    /// Returns the CPU time used by all members so far.
    ///
    /// # Errors
    /// If a member is not running.
    fn cpu_time(&self) -> anyhow::Result<Duration>;

    /// Kills a member with SIGKILL.
    ///
    /// # Errors
    /// If that fails.
    async fn kill(&mut self, member: usize) -> anyhow::Result<()>;

    /// Restarts a killed member, and waits until it serves requests.
    ///
    /// # Errors
    /// If it does not become ready in time.
    async fn restart(&mut self, member: usize) -> anyhow::Result<()>;
}

/// A client. Cheap to clone: clones share the connection.
pub trait Client: Clone + Send + 'static {
    /// Writes 256 bytes, and waits for the acknowledgement.
    ///
    /// # Errors
    /// If the write fails.
    fn write(&mut self) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// Returns a loopback address with a port that was free just now.
///
/// # Errors
/// If there is none.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Retries `attempt` until it succeeds.
///
/// # Errors
/// The last error, if no attempt succeeds in time.
pub async fn until<T>(mut attempt: impl AsyncFnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => sleep(POLL_INTERVAL).await,
        }
    }
}
