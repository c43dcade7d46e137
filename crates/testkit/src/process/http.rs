//! One HTTP request on its own connection.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Timeout of a request. Clients of a gateway do not wait longer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// An HTTP response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Body.
    pub body: String,
}

impl Response {
    /// Parses the body as JSON.
    ///
    /// # Errors
    /// If it is not valid JSON.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.body).with_context(|| format!("not JSON: {}", self.body))
    }
}

/// Sends a GET request.
///
/// # Errors
/// If there is no valid HTTP response in time.
pub async fn get(address: SocketAddr, path: &str) -> anyhow::Result<Response> {
    let exchanged = timeout(TIMEOUT, exchange(address, path)).await;
    let text =
        exchanged.with_context(|| format!("no response from {address} within {TIMEOUT:?}"))?;
    let text = text.with_context(|| format!("{address}{path}"))?;
    let (head, body) = text.split_once("\r\n\r\n").context("the response has no head")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok(Response {
        status: status.context("the response has no status code")?,
        body: body.to_owned(),
    })
}

async fn exchange(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    // With HTTP/1.0 the server does not use chunks, and closes the connection after the response.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}
