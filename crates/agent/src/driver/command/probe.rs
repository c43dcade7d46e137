//! Asking a program whether it serves.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// For an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// Bytes of an answer that are read.
const ANSWER_BYTES: u64 = 64 << 10;

/// Where a program is asked.
#[derive(Debug, Clone)]
pub(super) enum Target {
    Address(SocketAddr),
    Socket(PathBuf),
}

/// Why a program is not taken to serve.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProbeError {
    #[error("it cannot be connected to")]
    Io(#[from] io::Error),
    #[error("it does not answer within {ANSWER_LIMIT:?}")]
    Silent,
    #[error("it answers {0:?}")]
    Status(String),
}

/// Asks for `path`, or only connects where there is none. The body of the answer.
pub(super) async fn ask(target: &Target, path: Option<&str>) -> Result<String, ProbeError> {
    let asked = async {
        match target {
            Target::Address(address) => talk(TcpStream::connect(address).await?, path).await,
            Target::Socket(socket) => talk(UnixStream::connect(socket).await?, path).await,
        }
    };
    timeout(ANSWER_LIMIT, asked).await.unwrap_or(Err(ProbeError::Silent))
}

async fn talk(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    path: Option<&str>,
) -> Result<String, ProbeError> {
    let Some(path) = path else { return Ok(String::new()) };
    // HTTP/1.0, so that the body is not in chunks and the connection ends with it.
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let line = head.lines().next().unwrap_or_default();
    let status = line.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
    match status {
        Some(200..=299) => Ok(body.to_owned()),
        Some(_) | None => Err(ProbeError::Status(line.chars().take(80).collect())),
    }
}
