//! What is asked, by how many, how.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, StatusCode};

use super::backend::pattern;

/// The default of [`Plan::timeout`].
const TIMEOUT: Duration = Duration::from_secs(10);

/// The version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.1: one request at a time on a connection.
    Http1,
    /// HTTP/2 without TLS, which both sides know beforehand (RFC 9113, section 3.3).
    Http2 {
        /// Requests at a time on a connection, at least 1.
        streams: usize,
    },
}

/// What is asked, by how many, how.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Who is asked.
    pub address: SocketAddr,
    /// The method. Default GET, or POST with a body.
    pub method: Method,
    /// The path, with its query.
    pub path: String,
    /// Connections at a time. Default 1.
    pub connections: usize,
    /// Whether a connection is kept for the next request. Default yes.
    pub keep_alive: bool,
    /// After how many requests a connection that is kept is closed by this side and another opened,
    /// as callers do to spread over those who serve; of HTTP/2, on each of its streams. Default: never.
    pub renewal: Option<u64>,
    /// Default HTTP/1.1.
    pub version: Version,
    /// What is sent as body. Default nothing.
    pub body: Bytes,
    /// The status that is right. Default 200.
    pub status: StatusCode,
    /// The body that is right. Default any.
    pub answer: Option<Bytes>,
    /// For the whole of a request: to connect if need be, to send, to read the answer. Default 10 s.
    pub timeout: Duration,
    /// The pause after an answer, before the next request in its place. Default none.
    pub pause: Duration,
    /// How many requests, over all connections. Default: without an end.
    pub requests: Option<u64>,
}

impl Plan {
    /// GET of a path, of which any body is right.
    #[must_use]
    pub fn get(address: SocketAddr, path: &str) -> Self {
        Self {
            address,
            method: Method::GET,
            path: path.to_owned(),
            connections: 1,
            keep_alive: true,
            renewal: None,
            version: Version::Http1,
            body: Bytes::new(),
            status: StatusCode::OK,
            answer: None,
            timeout: TIMEOUT,
            pause: Duration::ZERO,
            requests: None,
        }
    }

    /// GET of a body of so many bytes from a [`super::Backend`], which lies behind `prefix`.
    #[must_use]
    pub fn download(address: SocketAddr, prefix: &str, bytes: usize) -> Self {
        let plan = Self::get(address, &format!("{prefix}/bytes/{bytes}"));
        Self { answer: Some(pattern(bytes)), ..plan }
    }

    /// POST of a body of so many bytes to a [`super::Backend`], which lies behind `prefix` and sends
    /// it back.
    #[must_use]
    pub fn echo(address: SocketAddr, prefix: &str, bytes: usize) -> Self {
        let plan = Self::get(address, &format!("{prefix}/echo"));
        let body = pattern(bytes);
        Self { method: Method::POST, body: body.clone(), answer: Some(body), ..plan }
    }

    /// The same on so many connections.
    #[must_use]
    pub fn connections(self, connections: usize) -> Self {
        Self { connections, ..self }
    }

    /// The same with a connection for each request.
    #[must_use]
    pub fn without_keep_alive(self) -> Self {
        Self { keep_alive: false, ..self }
    }

    /// The same, where a connection is kept for so many requests.
    #[must_use]
    pub fn renewal(self, requests: u64) -> Self {
        Self { renewal: Some(requests), ..self }
    }

    /// The same by HTTP/2.
    #[must_use]
    pub fn http2(self, streams: usize) -> Self {
        Self { version: Version::Http2 { streams }, ..self }
    }

    /// The same with an end.
    #[must_use]
    pub fn requests(self, requests: u64) -> Self {
        Self { requests: Some(requests), ..self }
    }

    /// The same with pauses.
    #[must_use]
    pub fn pause(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }

    /// The same, where another status is right, with any body.
    #[must_use]
    pub fn status(self, status: StatusCode) -> Self {
        Self { status, answer: None, ..self }
    }
}
