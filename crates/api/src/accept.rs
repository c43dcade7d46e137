//! Accepting connections for gRPC servers.
//!
//! tonic begins to watch a connection (HTTP/2 keepalive) only once the client has sent the preface of
//! HTTP/2, and waits for that without limit. So connections pass through here first: what sends no
//! preface in time is dropped, and however many try, only so many may be on their way at once. Those
//! that pass are handed on with the preface still to be read.

mod connection;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, Stream};
use metrics::counter;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

pub use connection::Connection;

use crate::metrics::DROPPED;

/// The connection preface of HTTP/2 (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Pause after the operating system could not give a connection, mostly for want of descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// What a listener puts up with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long a connection may take to send its preface. Default 10 s.
    pub handshake: Duration,
    /// Connections without a preface at once; one more, and the oldest of them is dropped: an honest
    /// client needs milliseconds. Default 128.
    pub half_open: usize,
    /// Connections at once, half-open ones counted; further ones are dropped. Each takes a file
    /// descriptor, which the log needs too. Default 1,024.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { handshake: Duration::from_secs(10), half_open: 128, connections: 1_024 }
    }
}

/// The connections of a listener that have sent their preface, without end. Dropping the stream
/// closes the listener and what is half-open.
pub fn incoming(
    listener: TcpListener,
    limits: Limits,
) -> impl Stream<Item = io::Result<Connection>> + Send {
    let door = Door {
        listener,
        limits,
        places: Arc::new(Semaphore::new(limits.connections)),
        handshakes: JoinSet::new(),
        oldest_first: VecDeque::new(),
    };
    stream::unfold(door, |mut door| async {
        let connection = door.next().await;
        Some((Ok(connection), door))
    })
}

struct Door {
    listener: TcpListener,
    limits: Limits,
    places: Arc<Semaphore>,
    handshakes: JoinSet<Option<Connection>>,
    oldest_first: VecDeque<AbortHandle>,
}

impl Door {
    /// The next connection that sent its preface.
    async fn next(&mut self) -> Connection {
        loop {
            tokio::select! {
                Some(ended) = self.handshakes.join_next() => {
                    if let Ok(Some(connection)) = ended {
                        return connection;
                    }
                }
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => self.begin(stream),
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        sleep(PAUSE).await;
                    }
                },
            }
        }
    }

    fn begin(&mut self, stream: TcpStream) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            dropped("full");
            return;
        };
        self.oldest_first.retain(|handshake| !handshake.is_finished());
        if self.oldest_first.len() >= self.limits.half_open
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            oldest.abort();
            dropped("crowded_out");
        }
        let task = self.handshakes.spawn(handshake(stream, place, self.limits.handshake));
        self.oldest_first.push_back(task);
    }
}

async fn handshake(
    mut stream: TcpStream,
    place: OwnedSemaphorePermit,
    limit: Duration,
) -> Option<Connection> {
    match timeout(limit, read_preface(&mut stream)).await {
        Ok(Ok(true)) => {}
        Ok(Ok(false)) => {
            dropped("not_http2");
            return None;
        }
        // It went by itself.
        Ok(Err(_)) => return None,
        Err(_) => {
            dropped("silent");
            return None;
        }
    }
    stream.set_nodelay(true).ok()?;
    Some(Connection::new(stream, PREFACE, place))
}

/// Whether the connection begins with the preface; says no at the first byte that differs.
async fn read_preface(stream: &mut TcpStream) -> io::Result<bool> {
    let mut read = [0; PREFACE.len()];
    let mut length = 0;
    while length < PREFACE.len() {
        let more = stream.read(&mut read[length..]).await?;
        if more == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        length += more;
        if read[..length] != PREFACE[..length] {
            return Ok(false);
        }
    }
    Ok(true)
}

fn dropped(reason: &'static str) {
    counter!(DROPPED, "reason" => reason).increment(1);
}
