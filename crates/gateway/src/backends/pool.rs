//! The connections of one worker to one backend.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::{CancellationToken, DropGuard};

use super::http1_connection::Http1Connection;
use super::http2_connection::{Http2Connection, MAX_STREAMS, StreamPermit};

/// Maximum number of idle HTTP/1.1 connections.
const MAX_IDLE: usize = 256;
/// Idle timeout of a connection of either protocol. Shorter than that of most servers, so that it
/// is rarely the server that closes.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The connections of one worker to one backend.
#[derive(Debug)]
pub(super) struct Pool {
    /// Idle HTTP/1.1 connections, the most recently used last.
    idle: VecDeque<Idle>,
    /// HTTP/2 connections.
    http2: Vec<Arc<Http2Connection>>,
    /// The latest dial that several requests share.
    dial: Option<Dial>,
    /// Expected maximum number of concurrent streams of a new connection.
    expected_streams: usize,
}

#[derive(Debug)]
struct Idle {
    connection: Http1Connection,
    since: Instant,
}

#[derive(Debug)]
struct Dial {
    done: CancellationToken,
    /// Number of further requests that may wait for this dial.
    waiters_left: usize,
}

/// A connection that a request can use.
pub(super) enum PooledConnection {
    Http1(Http1Connection),
    Http2(StreamPermit),
}

/// Decision of a request that found no open connection.
pub(super) enum DialDecision {
    /// Dial a connection. Requests that wait for it continue when the guard is dropped.
    Dial(Option<DropGuard>),
    /// Wait until this is cancelled: another request is dialing a connection that both can share.
    Wait(CancellationToken),
}

impl PooledConnection {
    /// Returns true if the connection can send a request, as far as is known.
    pub(super) async fn is_open(&mut self) -> bool {
        match self {
            Self::Http1(connection) => connection.is_open().await,
            Self::Http2(_) => true,
        }
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self { idle: VecDeque::new(), http2: Vec::new(), dial: None, expected_streams: MAX_STREAMS }
    }
}

impl Pool {
    /// Takes a connection for a request, over HTTP/1.1 if `only_http1`.
    pub(super) fn take(&mut self, only_http1: bool) -> Option<PooledConnection> {
        if !only_http1 && let Some(permit) = self.acquire_stream() {
            return Some(PooledConnection::Http2(permit));
        }
        // The most recently used one is the least likely to be closed by the backend at this
        // moment.
        self.idle.pop_back().map(|idle| PooledConnection::Http1(idle.connection))
    }

    fn acquire_stream(&mut self) -> Option<StreamPermit> {
        self.http2.retain(|connection| !connection.is_closed_to_requests());
        if let Some(max_streams) =
            self.http2.iter().rev().find_map(|connection| connection.max_streams())
        {
            self.expected_streams = max_streams;
        }
        self.http2.iter().find_map(Http2Connection::try_acquire)
    }

    /// Decides whether a request dials or waits, for a backend whose connections can be shared.
    pub(super) fn dial_or_wait(&mut self) -> DialDecision {
        if let Some(dial) = &mut self.dial
            && dial.waiters_left > 0
            && !dial.done.is_cancelled()
        {
            dial.waiters_left -= 1;
            return DialDecision::Wait(dial.done.clone());
        }
        let done = CancellationToken::new();
        self.dial = Some(Dial {
            done: done.clone(),
            waiters_left: self.expected_streams.saturating_sub(1),
        });
        DialDecision::Dial(Some(done.drop_guard()))
    }

    /// Adds an HTTP/1.1 connection that has become idle.
    pub(super) fn put_idle(&mut self, connection: Http1Connection) {
        if self.idle.len() < MAX_IDLE {
            self.idle.push_back(Idle { connection, since: Instant::now() });
        }
    }

    /// Adds an HTTP/2 connection.
    pub(super) fn add_http2(&mut self, connection: Arc<Http2Connection>) {
        self.http2.push(connection);
    }

    /// Closes connections that have been idle for [`IDLE_TIMEOUT`].
    pub(super) fn sweep(&mut self, now: Instant) {
        self.idle.retain(|idle| {
            !idle.connection.is_closed() && now.saturating_duration_since(idle.since) < IDLE_TIMEOUT
        });
        self.http2.retain(|connection| {
            !connection.is_closed_to_requests() && !connection.is_idle_for(IDLE_TIMEOUT, now)
        });
    }
}
