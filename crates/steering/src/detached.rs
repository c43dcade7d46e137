//! A name server without sockets, which is given the bytes that a network would deliver: for tests with
//! untrusted input.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use meridian_ports::{History, Read};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use crate::responder::Responder;
use crate::server::{Config, connect};
use crate::{tcp, udp};

/// A name server that has no sockets and follows no changes.
pub struct DetachedServer {
    responder: Responder,
}

impl DetachedServer {
    /// Creates a server whose responses are those for the current state. Addresses to listen on and the
    /// location database are ignored. Host names of gateways have no addresses.
    ///
    /// # Panics
    /// If a gateway has a host name, and there is no Tokio runtime.
    #[must_use]
    pub fn new(config: &Config, read: Arc<dyn Read>, history: Arc<dyn History>) -> Self {
        let (_, local_view) = watch::channel(None);
        let (responder, _) = connect(config, read, history, local_view);
        Self { responder }
    }

    /// Returns the response to a UDP datagram, if there is one. Never panics.
    #[must_use]
    pub fn datagram(&self, datagram: &[u8], sender: SocketAddr) -> Option<Vec<u8>> {
        let mut response = Vec::new();
        udp::respond(&self.responder, datagram, sender, &mut response).then_some(response)
    }

    /// Serves a TCP connection until the client closes it. Never panics.
    ///
    /// # Errors
    /// If the client closes the connection or breaks the protocol.
    pub async fn connection(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        peer: IpAddr,
    ) -> io::Result<()> {
        tcp::serve_connection(stream, peer, &self.responder).await
    }
}
