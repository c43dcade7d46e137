//! One HTTP request on a connection of its own.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long an answer may take: callers of a gateway do not wait longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status code.
    pub status: u16,
    /// Its body.
    pub body: String,
}

impl Answer {
    /// The body, as a value.
    ///
    /// # Errors
    /// If it is not JSON.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.body).with_context(|| format!("is not JSON: {}", self.body))
    }
}

/// Asks for `path`.
///
/// # Errors
/// If nobody answers in time, or not in HTTP.
pub async fn get(address: SocketAddr, path: &str) -> anyhow::Result<Answer> {
    let exchanged = timeout(PATIENCE, exchange(address, path)).await;
    let text =
        exchanged.with_context(|| format!("{address} did not answer within {PATIENCE:?}"))?;
    let text = text.with_context(|| format!("{address}{path}"))?;
    let (head, body) = text.split_once("\r\n\r\n").context("an answer has a head and a body")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok(Answer { status: status.context("an answer has a status")?, body: body.to_owned() })
}

async fn exchange(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    // Version 1.0: the answer comes in one piece, and the connection ends with it.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}
