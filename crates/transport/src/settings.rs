//! Keepalive and flow control of the two kinds of gRPC connections.

use std::time::Duration;

use tonic::transport::{Endpoint, Server};

/// HTTP/2 settings of the connections to one port, the same at both ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Silence after which an end sends a PING frame.
    keepalive_interval: Duration,
    /// Time for the other end to acknowledge it; then the connection is closed.
    keepalive_timeout: Duration,
    /// Maximum number of concurrent streams of a connection.
    streams: u32,
    /// Flow-control windows of a stream and of a connection, in bytes; HTTP/2's default if `None`.
    windows: Option<(u32, u32)>,
}

/// Connections of clients to an agent. Watches are among the streams.
pub const CLIENT: Settings = Settings {
    keepalive_interval: Duration::from_secs(20),
    keepalive_timeout: Duration::from_secs(10),
    streams: 1_024,
    windows: None,
};

/// Connections between agents. Forwarded commands and reads are among the streams; the windows let a
/// snapshot fill a link with a round-trip time of 300 ms.
pub const PEER: Settings = Settings {
    keepalive_interval: Duration::from_secs(10),
    keepalive_timeout: Duration::from_secs(5),
    streams: 4_096,
    windows: Some((1 << 20, 4 << 20)),
};

impl Settings {
    /// Returns a server builder with these settings.
    #[must_use]
    pub fn server(&self) -> Server {
        Server::builder()
            .http2_keepalive_interval(Some(self.keepalive_interval))
            .http2_keepalive_timeout(Some(self.keepalive_timeout))
            .max_concurrent_streams(self.streams)
            .initial_stream_window_size(self.windows.map(|(stream, _)| stream))
            .initial_connection_window_size(self.windows.map(|(_, connection)| connection))
    }

    pub(crate) fn apply(&self, endpoint: Endpoint) -> Endpoint {
        endpoint
            .http2_keep_alive_interval(self.keepalive_interval)
            .keep_alive_timeout(self.keepalive_timeout)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(self.windows.map(|(stream, _)| stream))
            .initial_connection_window_size(self.windows.map(|(_, connection)| connection))
    }
}
