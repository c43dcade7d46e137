//! The workers of a unit among themselves: new connections go where there are fewest.
//!
//! All workers accept from one socket, and whoever is awake takes whatever queues there: callers who
//! come together end up with one worker, while others stand idle. That one hands over what it has too
//! much of.

use std::io;
use std::net::{IpAddr, TcpStream as StdTcpStream};
use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// How many connections fewer another worker must have to be handed one. Handing over costs more
/// than a short connection does, so not every difference is worth it.
const WORTH_IT: usize = 2;

/// The workers of a unit.
#[derive(Debug)]
pub(crate) struct Crew(Vec<Member>);

#[derive(Debug)]
struct Member {
    connections: TaskTracker,
    handing: UnboundedSender<Handed>,
}

/// A connection on its way from the worker that accepted it to the one that serves it.
#[derive(Debug)]
struct Handed {
    stream: StdTcpStream,
    peer: IpAddr,
    /// Has it count as a connection of the other already.
    _counted: TaskTrackerToken,
}

/// What other workers hand to one.
#[derive(Debug)]
pub(crate) struct Inbox(UnboundedReceiver<Handed>);

impl Crew {
    /// So many workers, each with its inbox.
    pub(crate) fn new(workers: NonZeroUsize) -> (Arc<Self>, Vec<Inbox>) {
        let member = |_| {
            let (handing, inbox) = unbounded_channel();
            (Member { connections: TaskTracker::new(), handing }, Inbox(inbox))
        };
        let (members, inboxes) = (0..workers.get()).map(member).unzip();
        (Arc::new(Self(members)), inboxes)
    }

    /// The connections of `worker`, and what became of those that left HTTP.
    pub(crate) fn connections(&self, worker: usize) -> &TaskTracker {
        &self.0[worker].connections
    }

    /// Hands a connection that `worker` accepted to another where that is better. Gives it back where
    /// it is not, or the other takes no more.
    pub(crate) fn hand_over(
        &self,
        worker: usize,
        stream: TcpStream,
        peer: IpAddr,
    ) -> io::Result<Option<TcpStream>> {
        let own = self.0[worker].connections.len();
        let idlest = self.0.iter().min_by_key(|member| member.connections.len());
        let Some(other) = idlest.filter(|other| other.connections.len() + WORTH_IT <= own) else {
            return Ok(Some(stream));
        };
        let (stream, _counted) = (stream.into_std()?, other.connections.token());
        match other.handing.send(Handed { stream, peer, _counted }) {
            Ok(()) => Ok(None),
            Err(refused) => TcpStream::from_std(refused.0.stream).map(Some),
        }
    }
}

impl Inbox {
    /// The next connection. `None` once it is closed and empty. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<io::Result<(TcpStream, IpAddr)>> {
        let handed = self.0.recv().await?;
        Some(TcpStream::from_std(handed.stream).map(|stream| (stream, handed.peer)))
    }

    /// Takes no more; what was handed over before is still there.
    pub(crate) fn close(&mut self) {
        self.0.close();
    }
}
