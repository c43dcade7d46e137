//! Readiness and health probes of a program.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use meridian_durable::is_transient;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::driver::Phase;

/// Timeout of a probe.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Maximum length of a response that is read, in bytes.
const MAX_RESPONSE_BYTES: u64 = 64 << 10;

/// Address of a probe.
#[derive(Debug, Clone)]
pub(super) enum ProbeTarget {
    Address(SocketAddr),
    Socket(PathBuf),
}

/// Error of a failed probe.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProbeError {
    #[error("connection failed")]
    Io(#[from] io::Error),
    #[error("no response within {TIMEOUT:?}")]
    Timeout,
    #[error("unexpected response {0:?}")]
    Status(String),
}

impl ProbeError {
    /// Returns the phase of a unit whose probes keep failing with this error. `None` if the error is
    /// one of this side, such as a lack of descriptors, and says nothing about the unit.
    pub(super) fn phase(&self) -> Option<Phase> {
        match self {
            Self::Timeout => Some(Phase::Unresponsive),
            // Of a program that accepts nothing, the queue of its Unix socket is full (unix(7)).
            Self::Io(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Some(Phase::Unresponsive)
            }
            Self::Io(error) if is_transient(error) => None,
            Self::Io(_) => Some(Phase::Unresponsive),
            Self::Status(_) => Some(Phase::Unhealthy(format!("probe failed: {self}"))),
        }
    }
}

/// Requests `path` and returns the body of the response. Without a path, only connects.
pub(super) async fn probe(target: &ProbeTarget, path: Option<&str>) -> Result<String, ProbeError> {
    let response = async {
        match target {
            ProbeTarget::Address(address) => {
                exchange(TcpStream::connect(address).await?, path).await
            }
            ProbeTarget::Socket(socket) => exchange(UnixStream::connect(socket).await?, path).await,
        }
    };
    timeout(TIMEOUT, response).await.unwrap_or(Err(ProbeError::Timeout))
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    path: Option<&str>,
) -> Result<String, ProbeError> {
    let Some(path) = path else { return Ok(String::new()) };
    // HTTP/1.0, so that the body is not chunked and the connection ends with it.
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut response = Vec::new();
    stream.take(MAX_RESPONSE_BYTES).read_to_end(&mut response).await?;
    let response = String::from_utf8_lossy(&response);
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or((&response, ""));
    let line = head.lines().next().unwrap_or_default();
    let status = line.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
    match status {
        Some(200..=299) => Ok(body.to_owned()),
        Some(_) | None => Err(ProbeError::Status(line.chars().take(80).collect())),
    }
}
