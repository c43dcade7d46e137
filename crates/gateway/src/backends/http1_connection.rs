//! HTTP/1.1 connection to a backend, used by one request at a time.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use hyper::client::conn::http1;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::upload::Upload;

/// HTTP/1.1 connection to a backend.
#[derive(Debug)]
pub(super) struct Http1Connection {
    sender: SendRequest<Upload>,
    /// True if a byte arrived since the last reset.
    received: Arc<AtomicBool>,
}

impl Http1Connection {
    /// Performs the handshake on `io` and spawns the connection's task.
    pub(super) async fn handshake(
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> hyper::Result<Self> {
        let received = Arc::new(AtomicBool::new(false));
        let io = TokioIo::new(ReadTracker { inner: io, received: Arc::clone(&received) });
        let (sender, connection) = http1::handshake(io).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "connection to a backend failed");
            }
        });
        Ok(Self { sender, received })
    }

    /// Returns true if the connection can send a request, as far as is known.
    pub(super) async fn is_open(&mut self) -> bool {
        // If the previous response has just ended, the connection may not be ready yet.
        self.sender.is_ready() || (!self.sender.is_closed() && self.sender.ready().await.is_ok())
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Returns the sender for the next request, and resets the received flag.
    pub(super) fn start_request(&mut self) -> &mut SendRequest<Upload> {
        self.received.store(false, Ordering::Relaxed);
        &mut self.sender
    }

    /// Returns true if a byte arrived since the start of the request.
    pub(super) fn has_received(&self) -> bool {
        self.received.load(Ordering::Relaxed)
    }
}

/// I/O of a connection that records whether bytes arrived. hyper does not distinguish a response
/// that ends within its head from none at all.
struct ReadTracker<T> {
    inner: T,
    received: Arc<AtomicBool>,
}

impl<T: AsyncRead + Unpin> AsyncRead for ReadTracker<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.received.store(true, Ordering::Relaxed);
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for ReadTracker<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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
        Pin::new(&mut self.inner).poll_write_vectored(cx, parts)
    }
}
