//! The bytes of a connection of HTTP/2, and what the task that owns them has to know of.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;
use hyper::rt::{Read, ReadBufCursor, Write};

/// What the tasks of a connection tell each other.
#[derive(Debug, Default)]
pub(super) struct Link {
    /// Woken after whatever the backend said was understood, until that is not wanted any more.
    listener: AtomicWaker,
    deaf: AtomicBool,
    cut: AtomicBool,
    /// Woken when the connection was cut.
    reader: AtomicWaker,
}

impl Link {
    /// Has the task of `cx` woken by what the backend says.
    pub(super) fn listen(&self, cx: &Context<'_>) {
        self.listener.register(cx.waker());
    }

    /// Has no task woken by what the backend says.
    pub(super) fn stop_listening(&self) {
        self.deaf.store(true, Ordering::Relaxed);
    }

    /// Has the connection fail, with all that is still on it.
    pub(super) fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        self.reader.wake();
    }

    fn check(&self) -> io::Result<()> {
        let is_cut = self.cut.load(Ordering::Acquire);
        if is_cut { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

/// The bytes of a connection.
#[derive(Debug)]
pub(super) struct Linked<T> {
    inner: T,
    link: Arc<Link>,
    /// Whether something came since the listener was woken.
    heard: bool,
}

impl<T> Linked<T> {
    pub(super) fn new(inner: T, link: Arc<Link>) -> Self {
        Self { inner, link, heard: false }
    }
}

impl<T: Read + Unpin> Read for Linked<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.link.reader.register(cx.waker());
        self.link.check()?;
        let polled = Pin::new(&mut self.inner).poll_read(cx, cursor);
        if polled.is_ready() {
            self.heard = true;
        } else if self.heard {
            // More is read only when all that came before was understood.
            self.heard = false;
            if !self.link.deaf.load(Ordering::Relaxed) {
                self.link.listener.wake();
            }
        }
        polled
    }
}

impl<T: Write + Unpin> Write for Linked<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.link.check()?;
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.link.check()?;
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
        self.link.check()?;
        Pin::new(&mut self.inner).poll_write_vectored(cx, parts)
    }
}
