//! The parameters of a load.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use tokio::sync::watch;

use super::backend::pattern;

/// Default of [`Plan::timeout`].
const TIMEOUT: Duration = Duration::from_secs(10);

/// HTTP version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.1: one request at a time per connection.
    Http1,
    /// HTTP/2 over cleartext TCP with prior knowledge (RFC 9113, section 3.3).
    Http2 {
        /// Number of concurrent requests per connection, at least 1.
        streams: usize,
    },
}

/// The server of a load.
#[derive(Debug, Clone)]
pub enum Server {
    /// One address.
    Fixed(SocketAddr),
    /// A name, each connection to the address that it has then.
    Named {
        /// Name and port.
        authority: String,
        /// Address of the name.
        address: watch::Receiver<Ipv4Addr>,
        /// Port.
        port: u16,
    },
}

impl Server {
    /// Returns the address to connect to now.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Fixed(address) => *address,
            Self::Named { address, port, .. } => SocketAddr::from((*address.borrow(), *port)),
        }
    }
}

impl From<SocketAddr> for Server {
    fn from(address: SocketAddr) -> Self {
        Self::Fixed(address)
    }
}

/// The authority of a request.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(address) => address.fmt(f),
            Self::Named { authority, .. } => f.write_str(authority),
        }
    }
}

/// The parameters of a load.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Server.
    pub server: Server,
    /// Request method. Default: GET, or POST for requests with a body.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Number of concurrent connections. Default: 1.
    pub connections: usize,
    /// Set if connections are persistent. Default: true.
    pub keep_alive: bool,
    /// Number of requests (per stream, for HTTP/2) after which the client closes a persistent
    /// connection and opens another, as clients do to spread over servers. Default: unlimited.
    pub requests_per_connection: Option<u64>,
    /// HTTP version. Default: HTTP/1.1.
    pub version: Version,
    /// Request body. Default: empty.
    pub body: Bytes,
    /// Expected status. Default: 200.
    pub status: StatusCode,
    /// Expected body. Default: any.
    pub expected_body: Option<Bytes>,
    /// Timeout of a request, from connecting to the end of the response. Default: 10 s.
    pub timeout: Duration,
    /// Delay between a response and the client's next request. Default: none.
    pub think_time: Duration,
    /// Total number of requests over all connections. Default: unlimited.
    pub requests: Option<u64>,
}

impl Plan {
    /// Returns a plan for GET requests with any response body.
    #[must_use]
    pub fn get(server: impl Into<Server>, path: &str) -> Self {
        Self {
            server: server.into(),
            method: Method::GET,
            path: path.to_owned(),
            connections: 1,
            keep_alive: true,
            requests_per_connection: None,
            version: Version::Http1,
            body: Bytes::new(),
            status: StatusCode::OK,
            expected_body: None,
            timeout: TIMEOUT,
            think_time: Duration::ZERO,
            requests: None,
        }
    }

    /// Returns a plan for GET requests of a body of `bytes` bytes, to a [`super::Backend`] behind
    /// `prefix`.
    #[must_use]
    pub fn download(server: impl Into<Server>, prefix: &str, bytes: usize) -> Self {
        let plan = Self::get(server, &format!("{prefix}/bytes/{bytes}"));
        Self { expected_body: Some(pattern(bytes)), ..plan }
    }

    /// Returns a plan for POST requests of `bytes` bytes that are echoed by a [`super::Backend`]
    /// behind `prefix`.
    #[must_use]
    pub fn echo(server: impl Into<Server>, prefix: &str, bytes: usize) -> Self {
        let plan = Self::get(server, &format!("{prefix}/echo"));
        let body = pattern(bytes);
        Self { method: Method::POST, body: body.clone(), expected_body: Some(body), ..plan }
    }

    /// Sets the number of connections.
    #[must_use]
    pub fn connections(self, connections: usize) -> Self {
        Self { connections, ..self }
    }

    /// Opens a new connection for each request.
    #[must_use]
    pub fn without_keep_alive(self) -> Self {
        Self { keep_alive: false, ..self }
    }

    /// Sets the number of requests per connection.
    #[must_use]
    pub fn requests_per_connection(self, requests: u64) -> Self {
        Self { requests_per_connection: Some(requests), ..self }
    }

    /// Uses HTTP/2.
    #[must_use]
    pub fn http2(self, streams: usize) -> Self {
        Self { version: Version::Http2 { streams }, ..self }
    }

    /// Sets the total number of requests.
    #[must_use]
    pub fn requests(self, requests: u64) -> Self {
        Self { requests: Some(requests), ..self }
    }

    /// Sets the delay between requests of a client.
    #[must_use]
    pub fn think_time(self, think_time: Duration) -> Self {
        Self { think_time, ..self }
    }

    /// Sets the expected status, with any body.
    #[must_use]
    pub fn status(self, status: StatusCode) -> Self {
        Self { status, expected_body: None, ..self }
    }
}
