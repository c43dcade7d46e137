//! A client that resolves a name once its time to live has passed, and not earlier.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::dns;

/// Timeout of a request.
const TIMEOUT: Duration = Duration::from_secs(1);

/// A client of a service.
pub struct Client {
    /// Name servers, in the order in which they are asked.
    pub servers: Vec<SocketAddr>,
    /// Name of the service.
    pub name: String,
    /// Port of the service.
    pub port: u16,
    /// Number of queries that a name server did not answer in time.
    pub unanswered: u64,
    pub known: Option<(Ipv4Addr, Instant)>,
}

impl Client {
    /// Sends a request on a new connection, and returns the address that responded.
    ///
    /// # Errors
    /// If no name server responds, or the gateway does not respond with 200.
    pub async fn request(&mut self) -> anyhow::Result<Ipv4Addr> {
        let address = match self.known {
            Some((address, until)) if until > Instant::now() => address,
            _ => self.resolve().await?,
        };
        timeout(TIMEOUT, self.get(address)).await.context("no response")??;
        Ok(address)
    }

    async fn resolve(&mut self) -> anyhow::Result<Ipv4Addr> {
        for server in self.servers.clone() {
            match dns::query(server, &self.name).await {
                Ok(response) => {
                    let address = *response.addresses.first().context("no address")?;
                    self.known = Some((address, Instant::now() + response.ttl));
                    return Ok(address);
                }
                Err(_) => self.unanswered += 1,
            }
        }
        bail!("no name server responds")
    }

    async fn get(&self, address: Ipv4Addr) -> anyhow::Result<()> {
        let mut stream = TcpStream::connect((address, self.port)).await?;
        let request =
            format!("GET /echo HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.name);
        stream.write_all(request.as_bytes()).await?;
        let mut response = Vec::new();
        stream.read_to_end(&mut response).await?;
        anyhow::ensure!(response.starts_with(b"HTTP/1.1 200 "), "not 200");
        Ok(())
    }
}
