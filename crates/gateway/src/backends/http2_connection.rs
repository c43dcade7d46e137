//! HTTP/2 connection to a backend, shared by requests that use one stream each.

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
use signals::{SignalingIo, Signals};

mod signals;

/// Maximum number of concurrent streams on one connection, if the backend allows as many.
pub(super) const MAX_STREAMS: usize = 100;
/// Stream flow-control window: maximum number of bytes of a response that the client has not read
/// yet.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Connection flow-control window: enough for all streams, so that clients that do not read their
/// responses do not block others.
const CONNECTION_WINDOW: u32 = MAX_STREAMS as u32 * STREAM_WINDOW;
/// Maximum size of a response head, in bytes.
const MAX_HEAD_BYTES: u32 = 256 * 1024;

/// Interval and timeout of PING frames on a connection with requests in flight: a backend that lost
/// power does not close its connections.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Maximum number of concurrent streams before the backend announced one. No backend can announce
/// this value.
const UNKNOWN_LIMIT: usize = usize::MAX - 1;
/// Time for final frames before a connection that is no longer used is aborted. The abort also ends
/// what outlasts a response, such as a request body that the backend does not read.
const LINGER: Duration = Duration::from_secs(5);

/// HTTP/2 connection to a backend.
pub(super) struct Http2Connection {
    sender: SendRequest<Upload>,
    /// Maximum number of concurrent streams that the backend allows, updated by the connection's
    /// task.
    max_streams: Arc<AtomicUsize>,
    /// True if the connection accepts no further requests.
    retired: AtomicBool,
    in_flight: Mutex<InFlight>,
    _dropped: DropGuard,
}

struct InFlight {
    count: usize,
    /// Time of the last change of `count`.
    since: Instant,
}

/// Permit to send one request on a connection, until it is dropped.
pub(super) struct StreamPermit(Arc<Http2Connection>);

impl Http2Connection {
    /// Performs the handshake on `io` and spawns the connection's task. The limit is one stream
    /// until the backend announces its maximum number of concurrent streams, which drops
    /// `settling`.
    pub(super) async fn handshake(
        io: impl Read + Write + Unpin + Send + 'static,
        mut settling: Option<DropGuard>,
    ) -> hyper::Result<Arc<Self>> {
        let signals = Arc::new(Signals::default());
        let (sender, mut connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_max_send_streams(UNKNOWN_LIMIT)
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .max_header_list_size(MAX_HEAD_BYTES)
            .handshake(SignalingIo::new(io, Arc::clone(&signals)))
            .await?;
        let max_streams = Arc::new(AtomicUsize::new(UNKNOWN_LIMIT));
        let dropped = CancellationToken::new();
        let new = Self {
            sender,
            max_streams: Arc::clone(&max_streams),
            retired: AtomicBool::new(false),
            in_flight: Mutex::new(InFlight { count: 0, since: Instant::now() }),
            _dropped: dropped.clone().drop_guard(),
        };
        let abort_signals = Arc::clone(&signals);
        let running = poll_fn(move |cx| {
            signals.wake_on_read(cx);
            let polled = Pin::new(&mut connection).poll(cx);
            let announced = connection.current_max_send_streams();
            max_streams.store(announced, Ordering::Relaxed);
            if announced != UNKNOWN_LIMIT || polled.is_ready() {
                signals.stop_waking();
                drop(settling.take());
            }
            polled
        });
        tokio::spawn(async move {
            if let Err(error) = running.await {
                tracing::debug!(%error, "connection to a backend failed");
            }
            // The connection accepts no more requests, but requests in flight may take long.
            dropped.cancelled().await;
            sleep(LINGER).await;
            abort_signals.abort();
        });
        Ok(Arc::new(new))
    }

    /// Acquires a permit for one request, or returns `None` at the limit.
    pub(super) fn try_acquire(self: &Arc<Self>) -> Option<StreamPermit> {
        let mut in_flight = self.in_flight();
        if in_flight.count >= self.max_streams().unwrap_or(1) {
            return None;
        }
        in_flight.count += 1;
        Some(StreamPermit(Arc::clone(self)))
    }

    /// Returns the maximum number of concurrent streams, or `None` before the backend announced it.
    pub(super) fn max_streams(&self) -> Option<usize> {
        let max_streams = self.max_streams.load(Ordering::Relaxed);
        (max_streams != UNKNOWN_LIMIT).then(|| max_streams.min(MAX_STREAMS))
    }

    /// Returns true if the connection accepts no further requests.
    pub(super) fn is_closed_to_requests(&self) -> bool {
        self.retired.load(Ordering::Relaxed) || self.sender.is_closed()
    }

    /// Returns true if the connection has had no requests for `time`.
    pub(super) fn is_idle_for(&self, time: Duration, now: Instant) -> bool {
        let in_flight = self.in_flight();
        in_flight.count == 0 && now.saturating_duration_since(in_flight.since) >= time
    }

    fn in_flight(&self) -> MutexGuard<'_, InFlight> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StreamPermit {
    /// Returns the sender for the request.
    pub(super) fn sender(&self) -> SendRequest<Upload> {
        self.0.sender.clone()
    }

    /// Stops further requests on this connection. Those in flight continue.
    pub(super) fn retire_connection(&self) {
        self.0.retired.store(true, Ordering::Relaxed);
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        let mut in_flight = self.0.in_flight();
        (in_flight.count, in_flight.since) = (in_flight.count - 1, Instant::now());
    }
}

impl fmt::Debug for Http2Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2Connection").field("retired", &self.retired).finish_non_exhaustive()
    }
}
