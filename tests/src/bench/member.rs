//! What all measurements ask of a cluster, whichever it is.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How many members each cluster has.
pub const MEMBERS: usize = 3;
/// How long a client waits for one answer.
pub const CALL: Duration = Duration::from_secs(10);
/// How long a cluster may take to start, and a member to come back.
const START: Duration = Duration::from_secs(60);
/// Between two looks at whether something is so.
const LOOK: Duration = Duration::from_millis(10);

/// Three processes that acknowledge a write once a majority has it on disk.
pub trait Cluster {
    /// What to call it.
    const NAME: &'static str;
    /// Its clients.
    type Client: Client;

    /// A client of that number, connected to this member. Clients of different numbers write to
    /// different places.
    ///
    /// # Errors
    /// If it cannot be reached.
    async fn client(&self, number: usize, member: usize) -> anyhow::Result<Self::Client>;

    /// The member that leads.
    ///
    /// # Errors
    /// If none does, as far as this member knows.
    async fn leader(&self, member: usize) -> anyhow::Result<usize>;

    /// Processor time that all members have used so far.
    ///
    /// # Errors
    /// If one has ended.
    fn processor_time(&self) -> anyhow::Result<Duration>;

    /// Kills a member with SIGKILL.
    ///
    /// # Errors
    /// If that cannot be done.
    async fn kill(&mut self, member: usize) -> anyhow::Result<()>;

    /// Starts a member that was killed, and returns when it takes part again.
    ///
    /// # Errors
    /// If it does not.
    async fn start_again(&mut self, member: usize) -> anyhow::Result<()>;
}

/// One client. Cheap to clone: the clones share its connection.
pub trait Client: Clone + Send + 'static {
    /// Writes 256 bytes; returns once that is acknowledged.
    ///
    /// # Errors
    /// If it is not.
    fn write(&mut self) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// An address on loopback whose port was free just now.
///
/// # Errors
/// If there is none.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Asks until the answer is good.
///
/// # Errors
/// The last answer, if none is in time.
pub async fn until<T>(mut ask: impl AsyncFnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let deadline = Instant::now() + START;
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => sleep(LOOK).await,
        }
    }
}
