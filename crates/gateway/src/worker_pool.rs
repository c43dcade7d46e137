//! Distribution of new connections over the workers of a unit.
//!
//! All workers accept from one socket, and whichever is awake accepts everything that is queued.
//! Clients that connect at the same moment would all end up with one worker while the others idle.
//! A worker therefore passes a new connection to the least loaded one.

use std::io;
use std::net::{IpAddr, TcpStream as StdTcpStream};
use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Minimum difference in connections for which a worker passes one on. Passing a connection takes
/// longer than serving a short one, so smaller differences do not justify it.
const MIN_DIFFERENCE: usize = 2;

/// The workers of a unit.
#[derive(Debug)]
pub(crate) struct WorkerPool(Vec<Member>);

#[derive(Debug)]
struct Member {
    connections: TaskTracker,
    sender: UnboundedSender<PassedConnection>,
}

/// Connection in transit from the worker that accepted it to the one that serves it.
#[derive(Debug)]
struct PassedConnection {
    stream: StdTcpStream,
    peer: IpAddr,
    /// Counts the connection as one of the receiving worker already.
    _counted: TaskTrackerToken,
}

/// Connections that other workers passed to this one.
#[derive(Debug)]
pub(crate) struct Inbox(UnboundedReceiver<PassedConnection>);

impl WorkerPool {
    /// Creates a pool of `workers` workers, and the inbox of each.
    pub(crate) fn new(workers: NonZeroUsize) -> (Arc<Self>, Vec<Inbox>) {
        let member = |_| {
            let (sender, inbox) = unbounded_channel();
            (Member { connections: TaskTracker::new(), sender }, Inbox(inbox))
        };
        let (members, inboxes) = (0..workers.get()).map(member).unzip();
        (Arc::new(Self(members)), inboxes)
    }

    /// Returns the tracker of the connections of `worker`, upgraded ones included.
    pub(crate) fn connections(&self, worker: usize) -> &TaskTracker {
        &self.0[worker].connections
    }

    /// Passes a connection that `worker` accepted to the least loaded worker. Returns the
    /// connection if `worker` itself is to serve it, or if the other worker accepts no more.
    pub(crate) fn balance(
        &self,
        worker: usize,
        stream: TcpStream,
        peer: IpAddr,
    ) -> io::Result<Option<TcpStream>> {
        let own = self.0[worker].connections.len();
        let least_loaded = self.0.iter().min_by_key(|member| member.connections.len());
        let Some(other) =
            least_loaded.filter(|other| other.connections.len() + MIN_DIFFERENCE <= own)
        else {
            return Ok(Some(stream));
        };
        let (stream, _counted) = (stream.into_std()?, other.connections.token());
        match other.sender.send(PassedConnection { stream, peer, _counted }) {
            Ok(()) => Ok(None),
            Err(closed) => TcpStream::from_std(closed.0.stream).map(Some),
        }
    }
}

impl Inbox {
    /// Returns the next connection, or `None` once the inbox is closed and empty. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<io::Result<(TcpStream, IpAddr)>> {
        let passed = self.0.recv().await?;
        Some(TcpStream::from_std(passed.stream).map(|stream| (stream, passed.peer)))
    }

    /// Rejects further connections. Those already in the inbox remain.
    pub(crate) fn close(&mut self) {
        self.0.close();
    }
}
