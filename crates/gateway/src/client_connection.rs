//! Connection of a client: its state, and a stream with idle timeouts.

use std::io;
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::shared::Shared;
use head_scan::{HeadScan, SharedFraming};

mod forwarded_headers;
mod head_scan;

pub(crate) use forwarded_headers::ForwardedHeaders;
pub(crate) use head_scan::Framing;

/// Idle timeout for the next request on a connection. Longer than most clients keep a connection
/// open, so that it is rarely the unit that closes while a request is in transit.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// Maximum size of a read while a request head is read.
const HEAD_READ_BYTES: usize = 8 * 1024;
/// Timeout for a client to read a part of a response of the unit itself.
const DEFAULT_WRITE_TIMEOUT_MS: u32 = 10_000;
/// Timeout for a client to close its side of a connection after the unit closed its own.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

/// State of a client's connection.
#[derive(Debug)]
pub(crate) struct ClientConnection {
    pub(crate) peer: IpAddr,
    pub(crate) forwarded_headers: ForwardedHeaders,
    pub(crate) shared: Arc<Shared>,
    pub(crate) worker: usize,
    /// Number of requests in flight.
    in_flight: AtomicU32,
    /// Number of requests that started; wraps.
    started: AtomicU32,
    /// Timeout while the client reads nothing of a response.
    write_timeout_ms: AtomicU32,
    closing: AtomicBool,
    /// Framing of the next request, according to its head.
    pub(crate) framing: SharedFraming,
}

impl ClientConnection {
    /// Creates the state of a connection that `worker` accepted.
    pub(crate) fn new(peer: IpAddr, shared: &Arc<Shared>, worker: usize) -> Self {
        shared.metrics().connections().fetch_add(1, Ordering::Relaxed);
        let peer = peer.to_canonical();
        Self {
            peer,
            forwarded_headers: ForwardedHeaders::new(peer),
            shared: Arc::clone(shared),
            worker,
            in_flight: AtomicU32::new(0),
            started: AtomicU32::new(0),
            write_timeout_ms: AtomicU32::new(DEFAULT_WRITE_TIMEOUT_MS),
            closing: AtomicBool::new(false),
            framing: SharedFraming::default(),
        }
    }

    /// Counts the start of a request.
    pub(crate) fn begin_request(&self) {
        self.started.fetch_add(1, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the end of a request.
    pub(crate) fn end_request(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Closes the connection after the response to the current request.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    fn has_no_requests(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) == 0
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Sets the timeout for the client to read each part of a response.
    pub(crate) fn set_write_timeout(&self, timeout: Duration) {
        let timeout_ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        self.write_timeout_ms.store(timeout_ms, Ordering::Relaxed);
    }
}

impl Drop for ClientConnection {
    fn drop(&mut self) {
        self.shared.metrics().connections().fetch_sub(1, Ordering::Relaxed);
    }
}

/// Stream of a client's connection, which fails if the client is too slow. hyper only has a timeout
/// for request heads, starts it while a connection is idle, and allocates a new timer for every
/// request.
#[derive(Debug)]
pub(crate) struct ClientIo {
    stream: TcpStream,
    client: Arc<ClientConnection>,
    /// Timeout for reading a request head. `None` for HTTP/2, or without a limit.
    header_timeout: Option<Duration>,
    /// True if reads have timeouts at all.
    has_read_timeouts: bool,
    /// True if a part of a head has arrived. Initially true: a new connection has to send its first
    /// request within the head timeout.
    in_head: bool,
    scan: HeadScan,
    /// Start of the wait for the next request or for the rest of its head.
    waiting_since: Instant,
    /// Value of `started` at that time.
    seen_started: u32,
    read_timer: Timer,
    /// Time since which the client reads nothing.
    blocked_since: Option<Instant>,
    write_timer: Timer,
    /// Time at which the unit closed its side.
    closed_at: Option<Instant>,
}

impl ClientIo {
    /// Creates the stream of an HTTP/1 connection, whose request heads must arrive within
    /// `header_timeout`.
    pub(crate) fn http1(
        stream: TcpStream,
        client: Arc<ClientConnection>,
        header_timeout: Option<Duration>,
    ) -> Self {
        Self {
            stream,
            client,
            header_timeout,
            has_read_timeouts: true,
            in_head: true,
            scan: HeadScan::default(),
            waiting_since: Instant::now(),
            seen_started: 0,
            read_timer: Timer::default(),
            blocked_since: None,
            write_timer: Timer::default(),
            closed_at: None,
        }
    }

    /// Creates the stream of an HTTP/2 connection, which detects a lost client with PING frames.
    pub(crate) fn http2(stream: TcpStream, client: Arc<ClientConnection>) -> Self {
        Self { has_read_timeouts: false, ..Self::http1(stream, client, None) }
    }

    /// Resets the head state if a request has started since the last check.
    fn reset_if_started(&mut self) {
        let started = self.client.started.load(Ordering::Relaxed);
        if started != self.seen_started {
            (self.seen_started, self.in_head, self.waiting_since) =
                (started, false, Instant::now());
            self.scan = HeadScan::default();
        }
    }

    fn is_idle(&self) -> bool {
        self.has_read_timeouts && self.client.has_no_requests()
    }

    fn poll_read_timeout(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.reset_if_started();
        let timeout = if self.in_head { self.header_timeout } else { Some(IDLE_TIMEOUT) };
        let Some(timeout) = timeout else { return Poll::Pending };
        self.read_timer
            .poll(self.waiting_since + timeout, cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Returns `written`, or an error if the client has read nothing for too long.
    fn apply_write_timeout<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.blocked_since = None;
            return written;
        }
        let since = *self.blocked_since.get_or_insert_with(Instant::now);
        let timeout_ms = self.client.write_timeout_ms.load(Ordering::Relaxed);
        let deadline = since + Duration::from_millis(timeout_ms.into());
        self.write_timer.poll(deadline, cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Timer whose deadline may change often: it fires at the earliest deadline so far and is reset
/// from there.
#[derive(Debug, Default)]
struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    fn poll(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}

impl ClientIo {
    /// Reads a part of a request head.
    fn poll_read_head(
        &mut self,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut space = [MaybeUninit::uninit(); HEAD_READ_BYTES];
        let length = cursor.remaining().min(HEAD_READ_BYTES);
        let mut buffer = ReadBuf::uninit(&mut space[..length]);
        match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return self.poll_read_timeout(cx),
        }
        self.reset_if_started();
        if !self.in_head {
            (self.in_head, self.waiting_since) = (true, Instant::now());
        }
        self.scan.push(buffer.filled(), &self.client.framing);
        cursor.put_slice(buffer.filled());
        Poll::Ready(Ok(()))
    }
}

impl ClientIo {
    /// Discards incoming data until the client closes its side too. If data arrives after the last
    /// descriptor is closed, the system sends a reset and discards what it has not sent yet: the
    /// end of a response to an HTTP/2 client that sends window updates, or to a client that is
    /// still sending the body of a rejected request.
    fn poll_linger(&mut self, cx: &mut Context<'_>, closed: Instant) -> Poll<()> {
        let mut space = [MaybeUninit::uninit(); HEAD_READ_BYTES];
        let deadline = closed + LINGER_TIMEOUT;
        // Checked before each read, because a client may keep sending.
        while Instant::now() < deadline {
            let mut buffer = ReadBuf::uninit(&mut space);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.read_timer.poll(deadline, cx),
            }
        }
        Poll::Ready(())
    }
}

impl Read for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_idle() {
            self.poll_read_head(cx, cursor)
        } else {
            Pin::new(&mut TokioIo::new(&mut self.stream)).poll_read(cx, cursor)
        }
    }
}

impl Write for ClientIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.apply_write_timeout(written, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = match self.closed_at {
            Some(closed) => closed,
            None => {
                ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
                *self.closed_at.insert(Instant::now())
            }
        };
        // One side of a tunnel may close while the other continues.
        if self.client.has_no_requests() {
            ready!(self.poll_linger(cx, closed));
        }
        Poll::Ready(Ok(()))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.apply_write_timeout(written, cx)
    }
}
