//! Accepting connections, serving requests on them, and draining without losing a request.
//!
//! A drain has three steps: stop accepting; add `Connection: close` to the responses to further
//! requests, so that clients reconnect elsewhere by themselves; then have hyper close the remaining
//! connections. Closing immediately loses requests that are in transit while a connection closes
//! (85 to 106 of 30,000 over 61 scale cycles; none this way). HTTP/2 can report which requests were
//! not processed, so its connections shut down gracefully from the start of the drain.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::client_connection::{ClientConnection, ClientIo};
use crate::forward::Body;
use crate::request;
use crate::worker::Worker;
use crate::worker_pool::Inbox;

/// Interval at which idle connections to backends are closed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
/// Timeout for the first bytes of a connection if request heads have no timeout.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(75);
/// Interval and timeout of the HTTP/2 PING that checks whether a client is still there.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Lower bound of the header list size that the HTTP/2 layer accepts, in bytes. The unit itself
/// enforces smaller limits, so that the client gets a response.
const MIN_HTTP2_HEADER_BYTES: u32 = 64 * 1024;
/// Polling interval while only a part of the three bytes that distinguish the protocols has
/// arrived.
const SNIFF_INTERVAL: Duration = Duration::from_millis(10);

impl Worker {
    /// Serves `listener` from the first configuration until the drain. Returns when the last
    /// connection has ended.
    pub(crate) async fn serve(self: Arc<Self>, listener: Arc<TcpListener>, mut inbox: Inbox) {
        tokio::select! {
            biased;
            () = self.shared.drain().cancelled() => {}
            () = self.accept(&listener) => {}
            () = self.receive(&mut inbox) => {}
            () = self.sweep() => {}
        }
        // No other worker will serve the connections that were already passed to this one.
        inbox.close();
        self.receive(&mut inbox).await;
        // The socket is shared with other units, which accept what is still queued on it.
        drop(listener);
        self.tracker.close();
        tracing::info!(connections = self.tracker.len(), "draining");
        let graceful = self.shared.config().drain_timeouts.graceful;
        if timeout(graceful, self.tracker.wait()).await.is_err() {
            self.finish.cancel();
            self.tracker.wait().await;
        }
    }

    async fn accept(self: &Arc<Self>, listener: &TcpListener) {
        self.shared.configured().cancelled().await;
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => self.assign(stream, peer.ip()),
                Err(error) => self.shared.accept_failures().back_off(&error).await,
            }
        }
    }

    /// Serves a connection, or passes it to a less loaded worker.
    fn assign(self: &Arc<Self>, stream: TcpStream, peer: IpAddr) {
        match self.pool.balance(self.number, stream, peer) {
            Ok(Some(stream)) => self.spawn_connection(stream, peer),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "failed to pass a connection to another worker"),
        }
    }

    /// Serves the connections that other workers pass, until the inbox is closed and empty.
    async fn receive(self: &Arc<Self>, inbox: &mut Inbox) {
        while let Some(passed) = inbox.next().await {
            match passed {
                Ok((stream, peer)) => self.spawn_connection(stream, peer),
                Err(error) => {
                    tracing::warn!(%error, "failed to take a connection from another worker")
                }
            }
        }
    }

    fn spawn_connection(self: &Arc<Self>, stream: TcpStream, peer: IpAddr) {
        self.tracker.spawn(Arc::clone(self).connection(stream, peer));
    }

    async fn sweep(&self) {
        loop {
            sleep(SWEEP_INTERVAL).await;
            if let Some(configuration) = &*self.configuration() {
                let now = std::time::Instant::now();
                configuration.origins().for_each(|origin| origin.sweep(now));
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, peer: IpAddr) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "failed to set TCP_NODELAY: responses may be delayed");
        }
        let header_timeout = self.header_timeout();
        let sniffing = timeout(header_timeout.unwrap_or(FIRST_BYTE_TIMEOUT), is_http2(&stream));
        let sniffed = tokio::select! {
            sniffed = sniffing => sniffed,
            () = self.finish.cancelled() => return,
        };
        let client = Arc::new(ClientConnection::new(peer, &self.shared, self.number));
        match sniffed {
            Ok(Ok(true)) => self.http2(stream, client).await,
            Ok(Ok(false)) => self.http1(stream, client, header_timeout).await,
            Ok(Err(error)) => tracing::debug!(%error, "connection ended before the first request"),
            Err(_) => tracing::debug!("closing a connection that sent nothing"),
        }
    }

    fn header_timeout(&self) -> Option<Duration> {
        self.configuration()
            .as_ref()
            .and_then(|configuration| configuration.limits.header_timeout())
    }

    fn header_bytes(&self) -> u32 {
        self.configuration().as_ref().map_or(0, |configuration| configuration.limits.header_bytes())
    }

    async fn http1(
        &self,
        stream: TcpStream,
        client: Arc<ClientConnection>,
        header_timeout: Option<Duration>,
    ) {
        let service = service_fn(async |request| self.respond(&client, request).await);
        let io = ClientIo::http1(stream, Arc::clone(&client), header_timeout);
        let connection = http1::Builder::new().serve_connection(io, service).with_upgrades();
        let mut connection = pin!(connection);
        // Until then, responses have `Connection: close`.
        let mut refused = pin!(self.shared.end_of_leaving());
        let mut leaves = false;
        let ended = loop {
            tokio::select! {
                ended = connection.as_mut() => break Some(ended),
                () = self.finish.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    let limit = self.shared.config().drain_timeouts.finish;
                    break timeout(limit, connection).await.ok();
                }
                () = refused.as_mut(), if !leaves => {
                    leaves = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        };
        log_end(ended);
    }

    async fn http2(self: Arc<Self>, stream: TcpStream, client: Arc<ClientConnection>) {
        let timeouts = self.shared.config().drain_timeouts;
        let io = ClientIo::http2(stream, Arc::clone(&client));
        let worker = Arc::clone(&self);
        let service = service_fn(move |request| {
            let (worker, client) = (Arc::clone(&worker), Arc::clone(&client));
            async move { worker.respond(&client, request).await }
        });
        let head_bytes = self.header_bytes();
        let connection = http2::Builder::new(TokioExecutor::new())
            .max_header_list_size(head_bytes.max(MIN_HTTP2_HEADER_BYTES))
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .serve_connection(io, service);
        let mut connection = pin!(connection);
        let mut leaving = pin!(self.shared.leaving());
        let mut leaves = false;
        let ended = loop {
            tokio::select! {
                ended = connection.as_mut() => break Some(ended),
                () = self.shared.drain().cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    break timeout(timeouts.graceful + timeouts.finish, connection).await.ok();
                }
                () = leaving.as_mut(), if !leaves => {
                    leaves = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        };
        log_end(ended);
    }

    fn is_disabled(&self) -> bool {
        let configuration = self.configuration();
        configuration.as_ref().is_some_and(|configuration| !configuration.is_enabled())
    }

    async fn respond(
        &self,
        client: &Arc<ClientConnection>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        let version = request.version();
        let mut response = request::handle(self, client, request).await;
        let is_upgrade = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let must_close = client.is_closing() || self.shared.is_draining() || self.is_disabled();
        if version < Version::HTTP_2 && !is_upgrade && must_close {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }
}

/// Returns true if a connection begins with the HTTP/2 preface: no HTTP/1 method starts with "PRI".
async fn is_http2(stream: &TcpStream) -> io::Result<bool> {
    const PREFACE_START: &[u8] = b"PRI";
    let mut first = [0; PREFACE_START.len()];
    loop {
        let length = stream.peek(&mut first).await?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if first[..length] != PREFACE_START[..length] {
            return Ok(false);
        }
        if length == PREFACE_START.len() {
            return Ok(true);
        }
        sleep(SNIFF_INTERVAL).await;
    }
}

fn log_end(ended: Option<hyper::Result<()>>) {
    match ended {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::debug!(%error, "client connection failed"),
        None => tracing::warn!("closed a connection that was still open at the end of the drain"),
    }
}
