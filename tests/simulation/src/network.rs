//! The simulated network of an agent: outgoing and incoming connections.

use std::io;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::Stream;
use futures::future::pending;
use meridian_transport::{Dialer, dialer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;
use turmoil::net::{TcpListener, TcpStream};

use crate::trace;

/// Peer port of every agent.
pub const PORT: u16 = 7401;

/// A connection that adds received bytes to the trace.
pub struct TracedStream {
    stream: TcpStream,
    from: String,
    to: String,
}

impl TracedStream {
    fn new(stream: TcpStream, to: &str) -> Self {
        let from = match stream.peer_addr() {
            Ok(address) => turmoil::reverse_lookup(address.ip()).unwrap_or_default(),
            Err(_) => String::new(),
        };
        Self { stream, from, to: to.to_owned() }
    }
}

/// Returns the dialer of `host`. A connection to an unreachable host hangs if the network is
/// `silent`, and is refused otherwise.
pub fn dialer(host: &str, silent: bool) -> Dialer {
    let host: Arc<str> = host.into();
    Dialer::new(move |address| {
        let host = host.clone();
        Box::pin(async move {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    Ok(Box::new(TracedStream::new(stream, &host)) as Box<dyn dialer::Stream>)
                }
                Err(_) if silent => pending().await,
                Err(error) => Err(error),
            }
        })
    })
}

/// The peer port of an agent.
#[derive(Clone)]
pub struct Listener {
    listener: Arc<TcpListener>,
    host: Arc<str>,
}

impl Listener {
    /// Opens the peer port on `host`, which must be the current host.
    ///
    /// # Errors
    /// If the port is in use.
    pub async fn bind(host: &str) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
        Ok(Self { listener: Arc::new(listener), host: host.into() })
    }

    /// Returns the incoming connections.
    pub fn incoming(self) -> impl Stream<Item = io::Result<TracedStream>> {
        futures::stream::unfold(self, |this| async move {
            let accepted = this.listener.accept().await;
            Some((accepted.map(|(stream, _)| TracedStream::new(stream, &this.host)), this))
        })
    }
}

impl Connected for TracedStream {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for TracedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        trace::delivered(&self.from, &self.to, &buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TracedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
