//! I/O of an HTTP/2 connection, and the signals that its tasks exchange.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;
use hyper::rt::{Read, ReadBufCursor, Write};

/// Signals between the tasks of a connection.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// Woken after the received frames were processed, until `stopped` is set.
    driver: AtomicWaker,
    stopped: AtomicBool,
    aborted: AtomicBool,
    /// Woken when the connection is aborted.
    reader: AtomicWaker,
}

impl Signals {
    /// Registers the task of `cx` to be woken after frames from the backend were processed.
    pub(super) fn wake_on_read(&self, cx: &Context<'_>) {
        self.driver.register(cx.waker());
    }

    /// Stops waking the registered task.
    pub(super) fn stop_waking(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Fails the connection with all streams that are still open.
    pub(super) fn abort(&self) {
        self.aborted.store(true, Ordering::Release);
        self.reader.wake();
    }

    fn check(&self) -> io::Result<()> {
        let is_aborted = self.aborted.load(Ordering::Acquire);
        if is_aborted { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

/// I/O of a connection that raises and observes its signals.
#[derive(Debug)]
pub(super) struct SignalingIo<T> {
    inner: T,
    signals: Arc<Signals>,
    /// True if data arrived since the task was woken.
    received: bool,
}

impl<T> SignalingIo<T> {
    pub(super) fn new(inner: T, signals: Arc<Signals>) -> Self {
        Self { inner, signals, received: false }
    }
}

impl<T: Read + Unpin> Read for SignalingIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.signals.reader.register(cx.waker());
        self.signals.check()?;
        let polled = Pin::new(&mut self.inner).poll_read(cx, cursor);
        if polled.is_ready() {
            self.received = true;
        } else if self.received {
            // hyper reads more only once it has processed everything that came before.
            self.received = false;
            if !self.signals.stopped.load(Ordering::Relaxed) {
                self.signals.driver.wake();
            }
        }
        polled
    }
}

impl<T: Write + Unpin> Write for SignalingIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.signals.check()?;
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.signals.check()?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.signals.check()?;
        Pin::new(&mut self.inner).poll_write_vectored(cx, parts)
    }
}
