//! Servers that do not answer as they should.

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

/// The end of the head of a request.
const HEAD_END: &[u8] = b"\r\n\r\n";
/// How much of a request is read, in bytes: these servers are asked for nothing long.
const READ: usize = 16 * 1024;
/// The size of the bodies, in bytes.
const BODY: usize = 1_000;

/// What is wrong with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It answers after so long.
    Slow(Duration),
    /// It closes connections in order, and reads nothing.
    ClosesAtOnce,
    /// It closes the connection in order instead of answering.
    Closes,
    /// It resets the connection instead of answering.
    Resets,
    /// It resets the connection in the middle of the answer's body.
    ResetsInBody,
    /// It closes the connection in order in the middle of the answer's body.
    ClosesInBody,
    /// It answers what is no HTTP.
    Garbage,
    /// It reads requests, and never answers.
    Silent,
    /// It answers as it should, with `Connection: close`, and closes.
    ClosesPolitely,
    /// It answers as it should, and closes without saying so.
    ClosesAfterAnswer,
}

/// Such a server, of HTTP/1.1, in this process, until it is dropped.
#[derive(Debug)]
pub struct Faulty {
    address: SocketAddr,
    requests: Arc<AtomicU64>,
    _server: AbortOnDropHandle<()>,
}

impl Faulty {
    /// Starts one on that address; port 0 is one that is free.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub async fn start(address: SocketAddr, fault: Fault) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let requests = Arc::<AtomicU64>::default();
        let server = tokio::spawn(serve(listener, fault, Arc::clone(&requests)));
        Ok(Self { address, requests, _server: AbortOnDropHandle::new(server) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests that it has read.
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
        // How a connection ends is seen, and counted, by the one who opened it.
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
                stream.write_all(&answer("")).await?;
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
            Fault::ClosesPolitely => {
                return stream.write_all(&answer("Connection: close\r\n")).await;
            }
            Fault::ClosesAfterAnswer => return stream.write_all(&answer("")).await,
        }
    }
    Ok(())
}

/// Reads to the end of a request's head; false at the end of the connection.
async fn read_head(stream: &mut TcpStream) -> io::Result<bool> {
    let mut head = Vec::new();
    while !head.ends_with(HEAD_END) && head.len() < READ {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

fn answer(header: &str) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\n{header}Content-Length: {BODY}\r\n\r\n");
    [head.as_bytes(), &pattern(BODY)].concat()
}

/// Writes half of the body, and waits until it is acknowledged: a reset would overtake it.
async fn write_half(stream: &mut TcpStream) -> io::Result<()> {
    let answer = answer("");
    stream.write_all(&answer[..answer.len() - BODY / 2]).await?;
    tokio::time::sleep(Duration::from_millis(20)).await;
    Ok(())
}

fn reset(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO))
}
