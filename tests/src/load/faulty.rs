//! Servers with injected faults.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use super::backend::pattern;

/// End of a request head.
const HEAD_END: &[u8] = b"\r\n\r\n";
/// Maximum number of bytes read of a request; requests to these servers are short.
const MAX_HEAD: usize = 16 * 1024;
/// Size of the bodies in bytes.
const BODY: usize = 1_000;

/// The fault of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Delays every response.
    Slow(Duration),
    /// Closes connections gracefully without reading anything.
    ClosesAtOnce,
    /// Closes the connection gracefully instead of responding.
    Closes,
    /// Resets the connection instead of responding.
    Resets,
    /// Resets the connection in the middle of the response body.
    ResetsInBody,
    /// Closes the connection gracefully in the middle of the response body.
    ClosesInBody,
    /// Sends a response that is not HTTP.
    Garbage,
    /// Reads requests but never responds.
    Silent,
    /// Responds correctly with `Connection: close`, and closes.
    AnnouncesClose,
    /// Responds correctly, and closes without an announcement.
    ClosesAfterResponse,
}

/// A faulty HTTP/1.1 server in this process, stopped when dropped.
#[derive(Debug)]
pub struct FaultyServer {
    address: SocketAddr,
    requests: Arc<AtomicU64>,
    _server: AbortOnDropHandle<()>,
}

impl FaultyServer {
    /// Starts a server on the address; port 0 selects a free port.
    ///
    /// # Errors
    /// If the address is in use or not available.
    pub async fn start(address: SocketAddr, fault: Fault) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let requests = Arc::<AtomicU64>::default();
        let server = tokio::spawn(serve(listener, fault, Arc::clone(&requests)));
        Ok(Self { address, requests, _server: AbortOnDropHandle::new(server) })
    }

    /// Returns the listen address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the number of requests read so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

async fn serve(listener: TcpListener, fault: Fault, requests: Arc<AtomicU64>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let requests = Arc::clone(&requests);
        // The end of a connection is observed and counted by the client.
        connections.spawn(async move { drop(connection(stream, fault, &requests).await) });
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(mut stream: TcpStream, fault: Fault, requests: &AtomicU64) -> io::Result<()> {
    while fault != Fault::ClosesAtOnce && read_head(&mut stream).await? {
        requests.fetch_add(1, Ordering::Relaxed);
        match fault {
            Fault::Slow(time) => {
                tokio::time::sleep(time).await;
                stream.write_all(&response("")).await?;
            }
            Fault::ClosesAtOnce | Fault::Closes => return Ok(()),
            Fault::Resets => return reset(&stream),
            Fault::ResetsInBody => {
                write_half(&mut stream).await?;
                return reset(&stream);
            }
            Fault::ClosesInBody => return write_half(&mut stream).await,
            Fault::Garbage => return stream.write_all(&[0xff; BODY]).await,
            Fault::Silent => std::future::pending().await,
            Fault::AnnouncesClose => {
                return stream.write_all(&response("Connection: close\r\n")).await;
            }
            Fault::ClosesAfterResponse => return stream.write_all(&response("")).await,
        }
    }
    Ok(())
}

/// Reads a request head. Returns false at the end of the connection.
async fn read_head(stream: &mut TcpStream) -> io::Result<bool> {
    let mut head = Vec::new();
    while !head.ends_with(HEAD_END) && head.len() < MAX_HEAD {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

fn response(header: &str) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\n{header}Content-Length: {BODY}\r\n\r\n");
    [head.as_bytes(), &pattern(BODY)].concat()
}

/// Sends half of the body, and waits for it to arrive: a reset would overtake it.
async fn write_half(stream: &mut TcpStream) -> io::Result<()> {
    let response = response("");
    stream.write_all(&response[..response.len() - BODY / 2]).await?;
    tokio::time::sleep(Duration::from_millis(20)).await;
    Ok(())
}

fn reset(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO))
}
