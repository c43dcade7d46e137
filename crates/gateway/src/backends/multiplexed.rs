//! A connection of HTTP/2 to a backend: calls share it, one stream each.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::client::conn::http2;
use hyper::client::conn::http2::SendRequest;
use hyper::rt::{Read, Write};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::upload::Upload;
use link::{Link, Linked};

mod link;

/// Calls at a time that one connection gets, where the backend takes as many.
pub(super) const MOST_STREAMS: usize = 100;
/// What one backend may send of an answer before its caller took it, in bytes.
const STREAM_WINDOW: u32 = 256 * 1024;
/// As much for all calls of a connection together, so that callers who take nothing of their answers
/// keep no other's from flowing.
const CONNECTION_WINDOW: u32 = MOST_STREAMS as u32 * STREAM_WINDOW;
/// The largest head of an answer, in bytes.
const HEAD_BYTES: u32 = 256 * 1024;

/// Between two questions on a connection that has calls whether the backend is still there, and how
/// long it has to answer: a backend that lost its power ends no connection.
const PROBES: Duration = Duration::from_secs(5);
/// What the number of calls that a backend takes is before it said so. No backend can say this.
const UNSAID: usize = usize::MAX - 1;
/// For the last words on a connection that has no call any more. What of a call outlasts its answer,
/// such as a body that the backend does not take, ends then too.
const LINGER: Duration = Duration::from_secs(5);

/// A connection of HTTP/2 to a backend.
pub(super) struct Multiplexed {
    sender: SendRequest<Upload>,
    /// How many calls the backend takes at a time; the connection's task keeps it up to date.
    allowed: Arc<AtomicUsize>,
    /// Whether it gets no more calls.
    retired: AtomicBool,
    calls: Mutex<Calls>,
    _unused: DropGuard,
}

struct Calls {
    running: usize,
    /// Since when there are so many.
    since: Instant,
}

/// A call's place on a connection, until it is dropped.
pub(super) struct Seat(Arc<Multiplexed>);

impl Multiplexed {
    /// Begins a connection on `io`. Until the backend said how many calls it takes at a time, there is
    /// room for one; then `settling` is dropped.
    pub(super) async fn begin(
        io: impl Read + Write + Unpin + Send + 'static,
        mut settling: Option<DropGuard>,
    ) -> hyper::Result<Arc<Self>> {
        let link = Arc::new(Link::default());
        let (sender, mut connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_max_send_streams(UNSAID)
            .timer(TokioTimer::new())
            .keep_alive_interval(PROBES)
            .keep_alive_timeout(PROBES)
            .max_header_list_size(HEAD_BYTES)
            .handshake(Linked::new(io, Arc::clone(&link)))
            .await?;
        let allowed = Arc::new(AtomicUsize::new(UNSAID));
        let unused = CancellationToken::new();
        let new = Self {
            sender,
            allowed: Arc::clone(&allowed),
            retired: AtomicBool::new(false),
            calls: Mutex::new(Calls { running: 0, since: Instant::now() }),
            _unused: unused.clone().drop_guard(),
        };
        let ends_with = Arc::clone(&link);
        let running = poll_fn(move |cx| {
            link.listen(cx);
            let polled = Pin::new(&mut connection).poll(cx);
            let said = connection.current_max_send_streams();
            allowed.store(said, Ordering::Relaxed);
            if said != UNSAID || polled.is_ready() {
                link.stop_listening();
                drop(settling.take());
            }
            polled
        });
        tokio::spawn(async move {
            if let Err(error) = running.await {
                tracing::debug!(%error, "a connection to a backend broke");
            }
            // It takes no more calls; those that it has may go on for long.
            unused.cancelled().await;
            sleep(LINGER).await;
            ends_with.cut();
        });
        Ok(Arc::new(new))
    }

    /// A place on it, unless all are taken.
    pub(super) fn seat(self: &Arc<Self>) -> Option<Seat> {
        let mut calls = self.calls();
        if calls.running >= self.room().unwrap_or(1) {
            return None;
        }
        calls.running += 1;
        Some(Seat(Arc::clone(self)))
    }

    /// How many calls it takes at a time, once the backend said so.
    pub(super) fn room(&self) -> Option<usize> {
        let allowed = self.allowed.load(Ordering::Relaxed);
        (allowed != UNSAID).then(|| allowed.min(MOST_STREAMS))
    }

    /// Whether it gets no more calls.
    pub(super) fn is_over(&self) -> bool {
        self.retired.load(Ordering::Relaxed) || self.sender.is_closed()
    }

    /// Whether it had no call for `time`.
    pub(super) fn is_idle_for(&self, time: Duration, now: Instant) -> bool {
        let calls = self.calls();
        calls.running == 0 && now.saturating_duration_since(calls.since) >= time
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// What sends the call.
    pub(super) fn sender(&self) -> SendRequest<Upload> {
        self.0.sender.clone()
    }

    /// Has other calls go by other connections. Those that are on this one stay.
    pub(super) fn retire(&self) {
        self.0.retired.store(true, Ordering::Relaxed);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut calls = self.0.calls();
        (calls.running, calls.since) = (calls.running - 1, Instant::now());
    }
}

impl fmt::Debug for Multiplexed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Multiplexed").field("retired", &self.retired).finish_non_exhaustive()
    }
}
