//! The connections of one worker to one backend.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::{CancellationToken, DropGuard};

use super::exclusive::Exclusive;
use super::multiplexed::{MOST_STREAMS, Multiplexed, Seat};

/// Idle connections of HTTP/1.1 that a worker keeps to a backend.
const MOST_IDLE: usize = 256;
/// How long it keeps one, of either protocol. Shorter than what most servers allow, so that it is
/// rarely they who close.
const LONGEST_IDLE: Duration = Duration::from_secs(30);

/// The connections of one worker to one backend.
#[derive(Debug)]
pub(super) struct Pool {
    /// Those of HTTP/1.1 that wait for calls, the newest last.
    idle: VecDeque<Idle>,
    /// Those of HTTP/2.
    shared: Vec<Arc<Multiplexed>>,
    /// The newest connection that is being made for several calls.
    attempt: Option<Attempt>,
    /// How many calls a new connection is expected to have room for.
    room: usize,
}

#[derive(Debug)]
struct Idle {
    connection: Exclusive,
    since: Instant,
}

#[derive(Debug)]
struct Attempt {
    over: CancellationToken,
    /// How many calls may still wait for it.
    room: usize,
}

/// A connection that a call can have.
pub(super) enum Found {
    Http1(Exclusive),
    Http2(Seat),
}

/// What a call does that found no connection.
pub(super) enum Turn {
    /// It makes one. Those who wait for that go on when the guard is dropped.
    Connect(Option<DropGuard>),
    /// It waits for this: another call makes one that has room for both.
    Wait(CancellationToken),
}

impl Found {
    /// Whether it can take a call, as far as is known.
    pub(super) async fn is_open(&mut self) -> bool {
        match self {
            Self::Http1(connection) => connection.is_open().await,
            Self::Http2(_) => true,
        }
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self { idle: VecDeque::new(), shared: Vec::new(), attempt: None, room: MOST_STREAMS }
    }
}

impl Pool {
    /// A connection, of HTTP/1.1 where it has to be.
    pub(super) fn take(&mut self, only_http1: bool) -> Option<Found> {
        if !only_http1 && let Some(seat) = self.seat() {
            return Some(Found::Http2(seat));
        }
        // The newest is the least likely to be closed by the backend at this moment.
        self.idle.pop_back().map(|idle| Found::Http1(idle.connection))
    }

    fn seat(&mut self) -> Option<Seat> {
        self.shared.retain(|connection| !connection.is_over());
        if let Some(room) = self.shared.iter().rev().find_map(|connection| connection.room()) {
            self.room = room;
        }
        self.shared.iter().find_map(Multiplexed::seat)
    }

    /// Whose turn it is to connect, where a connection would have room for several calls.
    pub(super) fn turn(&mut self) -> Turn {
        if let Some(attempt) = &mut self.attempt
            && attempt.room > 0
            && !attempt.over.is_cancelled()
        {
            attempt.room -= 1;
            return Turn::Wait(attempt.over.clone());
        }
        let over = CancellationToken::new();
        self.attempt = Some(Attempt { over: over.clone(), room: self.room.saturating_sub(1) });
        Turn::Connect(Some(over.drop_guard()))
    }

    /// Lets calls have a connection of HTTP/1.1 that has just none.
    pub(super) fn keep(&mut self, connection: Exclusive) {
        if self.idle.len() < MOST_IDLE {
            self.idle.push_back(Idle { connection, since: Instant::now() });
        }
    }

    /// Lets calls have a connection of HTTP/2.
    pub(super) fn share(&mut self, connection: Arc<Multiplexed>) {
        self.shared.push(connection);
    }

    /// Closes what was not used for long.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.idle.retain(|idle| {
            !idle.connection.is_closed() && now.saturating_duration_since(idle.since) < LONGEST_IDLE
        });
        self.shared.retain(|connection| {
            !connection.is_over() && !connection.is_idle_for(LONGEST_IDLE, now)
        });
    }
}
