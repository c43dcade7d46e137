//! A connection of HTTP/1.1 to a backend: a call has it for itself.

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

/// A connection of HTTP/1.1 to a backend.
#[derive(Debug)]
pub(super) struct Exclusive {
    sender: SendRequest<Upload>,
    /// Whether a byte came since this was reset.
    heard: Arc<AtomicBool>,
}

impl Exclusive {
    /// Begins a connection on `io`.
    pub(super) async fn begin(
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> hyper::Result<Self> {
        let heard = Arc::new(AtomicBool::new(false));
        let io = TokioIo::new(Listening { inner: io, heard: Arc::clone(&heard) });
        let (sender, connection) = http1::handshake(io).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to a backend broke");
            }
        });
        Ok(Self { sender, heard })
    }

    /// Whether it can take a call, as far as is known.
    pub(super) async fn is_open(&mut self) -> bool {
        // Where the previous answer has just ended, the connection may need a moment.
        self.sender.is_ready() || (!self.sender.is_closed() && self.sender.ready().await.is_ok())
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// What sends the next call.
    pub(super) fn next_call(&mut self) -> &mut SendRequest<Upload> {
        self.heard.store(false, Ordering::Relaxed);
        &mut self.sender
    }

    /// Whether anything came since the call began to be sent.
    pub(super) fn has_heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }
}

/// The bytes of a connection. hyper does not tell an answer that breaks off within its head from none.
struct Listening<T> {
    inner: T,
    heard: Arc<AtomicBool>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Listening<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.heard.store(true, Ordering::Relaxed);
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Listening<T> {
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
