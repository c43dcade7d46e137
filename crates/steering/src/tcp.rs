//! TCP (RFC 7766): for responses that do not fit into a datagram, and for clients above the rate limit.
//!
//! Queries of a connection are answered one after another in their order, so a client that pipelines
//! queries without reading responses is stopped by the flow control of its connection.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use meridian_transport::accept::AcceptFailures;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use crate::metrics::Transport;
use crate::responder::Responder;

/// Maximum number of connections of an address, each with a descriptor and a buffer. A further one
/// closes the oldest: resolvers need a connection for milliseconds.
const CONNECTIONS: usize = 256;
/// Timeout for the next query of a connection, and for the client to take a response.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum size of a query: several times that of a name with all options that resolvers send. A
/// longer one closes the connection.
const QUERY_BYTES: usize = 4_096;

/// Accepts and serves connections forever.
pub(crate) async fn serve(listener: TcpListener, responder: Arc<Responder>) {
    let failures = AcceptFailures::new("dns_listen");
    let mut connections = JoinSet::new();
    let mut oldest_first: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {
                oldest_first.retain(|connection| !connection.is_finished());
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    if oldest_first.len() >= CONNECTIONS && let Some(oldest) = oldest_first.pop_front() {
                        oldest.abort();
                        responder.metrics.crowded_out.increment(1);
                    }
                    let responder = Arc::clone(&responder);
                    let connection = async move {
                        // Best effort: responses may be sent later without it.
                        let _ = stream.set_nodelay(true);
                        // The client closed the connection, broke the protocol or was idle.
                        let _ = serve_connection(stream, peer.ip(), &responder).await;
                    };
                    oldest_first.push_back(connections.spawn(connection));
                }
                Err(error) => failures.back_off(&error).await,
            },
        }
    }
}

/// Serves a connection until the client closes it, breaks the protocol, which is an error unless it
/// sent a message that is not a query, or is idle.
pub(crate) async fn serve_connection<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: IpAddr,
    responder: &Responder,
) -> io::Result<()> {
    let peer = peer.to_canonical();
    let mut stream = BufReader::with_capacity(QUERY_BYTES, stream);
    let (mut query, mut response) = (Vec::new(), Vec::new());
    loop {
        timeout(IDLE_TIMEOUT, read_query(&mut stream, &mut query)).await??;
        response.clear();
        response.extend([0, 0]);
        if !responder.respond(&query, peer, Transport::Tcp, &mut response) {
            return Ok(());
        }
        let length = u16::try_from(response.len() - 2).map_err(io::Error::other)?;
        response[..2].copy_from_slice(&length.to_be_bytes());
        timeout(IDLE_TIMEOUT, stream.write_all(&response)).await??;
    }
}

/// Reads a query with its length before it.
async fn read_query(stream: &mut (impl AsyncRead + Unpin), query: &mut Vec<u8>) -> io::Result<()> {
    let length = usize::from(stream.read_u16().await?);
    if length > QUERY_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    query.resize(length, 0);
    stream.read_exact(query).await?;
    Ok(())
}
