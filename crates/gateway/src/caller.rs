//! A caller's connection: who is at its other end, and how long it may stand still.

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

mod head_scan;
mod told;

pub(crate) use head_scan::Framing;
pub(crate) use told::Told;

/// For the next call on a connection that had one. Longer than what most clients keep one for, so
/// that it is rarely the unit that closes while a call is on its way.
const LONGEST_IDLE: Duration = Duration::from_secs(75);
/// What is read of a head at a time.
const HEAD_READ_BYTES: usize = 8 * 1024;
/// For a caller to take a part of an answer of the unit itself.
const OWN_ANSWER_MS: u32 = 10_000;
/// For a caller to close its side of a connection once the unit has closed its own.
const LINGER: Duration = Duration::from_secs(2);

/// The other end of a connection.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) peer: IpAddr,
    pub(crate) told: Told,
    pub(crate) shared: Arc<Shared>,
    pub(crate) worker: usize,
    /// Calls that run.
    running: AtomicU32,
    /// Calls that began; wraps.
    begun: AtomicU32,
    /// How long the caller may take nothing of an answer.
    write_limit_ms: AtomicU32,
    closing: AtomicBool,
    /// What the head of the call that begins says of its body.
    pub(crate) framing: SharedFraming,
}

impl Caller {
    /// The other end of a connection that `worker` accepted.
    pub(crate) fn new(peer: IpAddr, shared: &Arc<Shared>, worker: usize) -> Self {
        shared.metrics().connections().fetch_add(1, Ordering::Relaxed);
        let peer = peer.to_canonical();
        Self {
            peer,
            told: Told::new(peer),
            shared: Arc::clone(shared),
            worker,
            running: AtomicU32::new(0),
            begun: AtomicU32::new(0),
            write_limit_ms: AtomicU32::new(OWN_ANSWER_MS),
            closing: AtomicBool::new(false),
            framing: SharedFraming::default(),
        }
    }

    /// Begins a call.
    pub(crate) fn enter(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.running.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends a call.
    pub(crate) fn leave(&self) {
        self.running.fetch_sub(1, Ordering::Relaxed);
    }

    /// Has the connection end with the answer to the call that runs.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    fn runs_nothing(&self) -> bool {
        self.running.load(Ordering::Relaxed) == 0
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Has the caller take each part of an answer within `limit` from now on.
    pub(crate) fn limit_writes(&self, limit: Duration) {
        let limit = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
        self.write_limit_ms.store(limit, Ordering::Relaxed);
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.shared.metrics().connections().fetch_sub(1, Ordering::Relaxed);
    }
}

/// A caller's connection, which fails where the caller is too slow. hyper has a limit for heads
/// alone, starts it while a connection is idle, and makes a new timer for every call.
#[derive(Debug)]
pub(crate) struct CallerIo {
    stream: TcpStream,
    caller: Arc<Caller>,
    /// For the head of a call. None where heads come in frames, or without a limit.
    head_limit: Option<Duration>,
    /// Whether reads have limits at all.
    limits_reads: bool,
    /// Whether a part of a head came. At first as if it had: a connection is made to be used.
    in_head: bool,
    scan: HeadScan,
    /// Since when the next call, or the rest of its head, is waited for.
    since: Instant,
    /// How many calls had begun then.
    seen: u32,
    reading: Timer,
    /// Since when the caller takes nothing.
    blocked: Option<Instant>,
    writing: Timer,
    /// When the unit closed its side.
    closed: Option<Instant>,
}

impl CallerIo {
    /// A connection of HTTP/1: its calls' heads have to arrive within `head_limit`.
    pub(crate) fn http1(
        stream: TcpStream,
        caller: Arc<Caller>,
        head_limit: Option<Duration>,
    ) -> Self {
        Self {
            stream,
            caller,
            head_limit,
            limits_reads: true,
            in_head: true,
            scan: HeadScan::default(),
            since: Instant::now(),
            seen: 0,
            reading: Timer::default(),
            blocked: None,
            writing: Timer::default(),
            closed: None,
        }
    }

    /// A connection of HTTP/2, which finds out by itself whether its other end is there.
    pub(crate) fn http2(stream: TcpStream, caller: Arc<Caller>) -> Self {
        Self { limits_reads: false, ..Self::http1(stream, caller, None) }
    }

    /// Forgets the call before, if there was one since the last look.
    fn look(&mut self) {
        let begun = self.caller.begun.load(Ordering::Relaxed);
        if begun != self.seen {
            (self.seen, self.in_head, self.since) = (begun, false, Instant::now());
            self.scan = HeadScan::default();
        }
    }

    fn is_idle(&self) -> bool {
        self.limits_reads && self.caller.runs_nothing()
    }

    fn poll_read_limit(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.look();
        let limit = if self.in_head { self.head_limit } else { Some(LONGEST_IDLE) };
        let Some(limit) = limit else { return Poll::Pending };
        self.reading.poll(self.since + limit, cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    /// `written`, unless the caller took nothing for too long.
    fn limit_write<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.blocked = None;
            return written;
        }
        let since = *self.blocked.get_or_insert_with(Instant::now);
        let limit = self.caller.write_limit_ms.load(Ordering::Relaxed);
        let deadline = since + Duration::from_millis(limit.into());
        self.writing.poll(deadline, cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// A timer whose deadline may change often: it runs to the earliest and looks again there.
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

impl CallerIo {
    /// Reads a part of a head.
    fn poll_read_head(
        &mut self,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut space = [MaybeUninit::uninit(); HEAD_READ_BYTES];
        let most = cursor.remaining().min(HEAD_READ_BYTES);
        let mut buffer = ReadBuf::uninit(&mut space[..most]);
        match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return self.poll_read_limit(cx),
        }
        self.look();
        if !self.in_head {
            (self.in_head, self.since) = (true, Instant::now());
        }
        self.scan.push(buffer.filled(), &self.caller.framing);
        cursor.put_slice(buffer.filled());
        Poll::Ready(Ok(()))
    }
}

impl CallerIo {
    /// Throws away what still comes, until the caller closes its side too. The system answers what
    /// comes after the last descriptor is closed with a reset, and then throws away what it has not
    /// sent yet: the end of an answer to a caller of HTTP/2 that reports what it took, or to one
    /// that is still sending the body of a call which was refused.
    fn poll_linger(&mut self, cx: &mut Context<'_>, closed: Instant) -> Poll<()> {
        let mut space = [MaybeUninit::uninit(); HEAD_READ_BYTES];
        let deadline = closed + LINGER;
        // Looked at before each read: there may always be more to read.
        while Instant::now() < deadline {
            let mut buffer = ReadBuf::uninit(&mut space);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.reading.poll(deadline, cx),
            }
        }
        Poll::Ready(())
    }
}

impl Read for CallerIo {
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

impl Write for CallerIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.limit_write(written, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = match self.closed {
            Some(closed) => closed,
            None => {
                ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
                *self.closed.insert(Instant::now())
            }
        };
        // A tunnel closes one side while the other goes on.
        if self.caller.runs_nothing() {
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
        self.limit_write(written, cx)
    }
}
