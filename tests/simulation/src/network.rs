//! The simulated network as an agent sees it: connections to others, and those that come in.

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

/// The peer port of every agent.
pub const PORT: u16 = 7401;

/// A connection whose arriving bytes are noted in the trace.
pub struct Wire {
    stream: TcpStream,
    from: String,
    to: String,
}

impl Wire {
    fn new(stream: TcpStream, to: &str) -> Self {
        let from = match stream.peer_addr() {
            Ok(address) => turmoil::reverse_lookup(address.ip()).unwrap_or_default(),
            Err(_) => String::new(),
        };
        Self { stream, from, to: to.to_owned() }
    }
}

/// What opens connections from `host`. Where nobody answers, a `silent` network says nothing, and
/// another one that the connection was refused.
pub fn dialer(host: &str, silent: bool) -> Dialer {
    let host: Arc<str> = host.into();
    Dialer::new(move |address| {
        let host = host.clone();
        Box::pin(async move {
            match TcpStream::connect(address).await {
                Ok(stream) => Ok(Box::new(Wire::new(stream, &host)) as Box<dyn dialer::Stream>),
                Err(_) if silent => pending().await,
                Err(error) => Err(error),
            }
        })
    })
}

/// The port of an agent.
#[derive(Clone)]
pub struct Listener {
    listener: Arc<TcpListener>,
    host: Arc<str>,
}

impl Listener {
    /// Opens the peer port on `host`, the one that this is called on.
    ///
    /// # Errors
    /// If it is open.
    pub async fn bind(host: &str) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
        Ok(Self { listener: Arc::new(listener), host: host.into() })
    }

    /// The connections that come in.
    pub fn incoming(self) -> impl Stream<Item = io::Result<Wire>> {
        futures::stream::unfold(self, |this| async move {
            let accepted = this.listener.accept().await;
            Some((accepted.map(|(stream, _)| Wire::new(stream, &this.host)), this))
        })
    }
}

impl Connected for Wire {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Wire {
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

impl AsyncWrite for Wire {
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
