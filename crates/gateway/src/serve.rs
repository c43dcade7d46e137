//! Accepting connections, answering on them, and ending without losing a call.
//!
//! The end is polite, in this order: accept no more; answer what still comes with
//! `Connection: close`, so that callers go elsewhere by themselves; and only then have hyper close
//! what is left. Closing at once loses the calls that are on their way while a connection closes
//! (85 to 106 of 30,000 over 61 scale cycles; none this way). HTTP/2 can say which calls it did not
//! take, so there the end begins at once.

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

use crate::call;
use crate::caller::{Caller, CallerIo};
use crate::crew::Inbox;
use crate::forward::Body;
use crate::worker::Worker;

/// The pause after the system refused a connection for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often connections that stood idle for long are looked for.
const SWEEP: Duration = Duration::from_secs(5);
/// For the first bytes of a connection, where there is no limit for heads.
const SILENCE: Duration = Duration::from_secs(75);
/// How often a caller of HTTP/2 is asked whether it is still there, and how long it has to answer.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// The size of HTTP/2's heads that is never refused before it is looked at, in bytes.
const HTTP2_HEAD_BYTES: u32 = 64 * 1024;
/// The pause while a caller sent the first of the three bytes that tell the protocols apart.
const SNIFF_PAUSE: Duration = Duration::from_millis(10);

impl Worker {
    /// Serves `listener` from the first configuration until the drain, and returns when the last
    /// connection has ended.
    pub(crate) async fn serve(self: Arc<Self>, listener: Arc<TcpListener>, mut inbox: Inbox) {
        tokio::select! {
            biased;
            () = self.shared.drain().cancelled() => {}
            () = self.accept(&listener) => {}
            () = self.receive(&mut inbox) => {}
            () = self.sweep() => {}
        }
        // What was handed over before is nobody else's.
        inbox.close();
        self.receive(&mut inbox).await;
        // The socket is shared: what still queues on it, another unit takes.
        drop(listener);
        self.tracker.close();
        tracing::info!(connections = self.tracker.len(), "draining");
        let polite = self.shared.config().patience.polite;
        if timeout(polite, self.tracker.wait()).await.is_err() {
            self.finish.cancel();
            self.tracker.wait().await;
        }
    }

    async fn accept(self: &Arc<Self>, listener: &TcpListener) {
        self.shared.configured().cancelled().await;
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => self.place(stream, peer.ip()),
                Err(error) => rest_after(&error).await,
            }
        }
    }

    /// Serves a connection, unless another worker has fewer.
    fn place(self: &Arc<Self>, stream: TcpStream, peer: IpAddr) {
        match self.crew.hand_over(self.number, stream, peer) {
            Ok(Some(stream)) => self.begin(stream, peer),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "a connection could not be handed over"),
        }
    }

    /// Serves what other workers hand over, until the inbox is closed and empty.
    async fn receive(self: &Arc<Self>, inbox: &mut Inbox) {
        while let Some(handed) = inbox.next().await {
            match handed {
                Ok((stream, peer)) => self.begin(stream, peer),
                Err(error) => tracing::warn!(%error, "a connection could not be taken over"),
            }
        }
    }

    fn begin(self: &Arc<Self>, stream: TcpStream, peer: IpAddr) {
        self.tracker.spawn(Arc::clone(self).connection(stream, peer));
    }

    async fn sweep(&self) {
        loop {
            sleep(SWEEP).await;
            if let Some(configuration) = &*self.configuration() {
                let now = std::time::Instant::now();
                configuration.origins().for_each(|origin| origin.sweep(now));
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, peer: IpAddr) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "answers on a connection will be delayed");
        }
        let head_limit = self.header_timeout();
        let sniffing = timeout(head_limit.unwrap_or(SILENCE), speaks_http2(&stream));
        let sniffed = tokio::select! {
            sniffed = sniffing => sniffed,
            () = self.finish.cancelled() => return,
        };
        let caller = Arc::new(Caller::new(peer, &self.shared, self.number));
        match sniffed {
            Ok(Ok(true)) => self.http2(stream, caller).await,
            Ok(Ok(false)) => self.http1(stream, caller, head_limit).await,
            Ok(Err(error)) => tracing::debug!(%error, "a connection ended before it began"),
            Err(_) => tracing::debug!("a silent connection is closed"),
        }
    }

    fn header_timeout(&self) -> Option<Duration> {
        self.configuration().as_ref().and_then(|serves| serves.limits.header_timeout())
    }

    fn header_bytes(&self) -> u32 {
        self.configuration().as_ref().map_or(0, |serves| serves.limits.header_bytes())
    }

    async fn http1(&self, stream: TcpStream, caller: Arc<Caller>, head_limit: Option<Duration>) {
        let service = service_fn(async |request| self.answer(&caller, request).await);
        let io = CallerIo::http1(stream, Arc::clone(&caller), head_limit);
        let connection = http1::Builder::new().serve_connection(io, service).with_upgrades();
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = self.finish.cancelled() => {
                connection.as_mut().graceful_shutdown();
                timeout(self.shared.config().patience.finish, connection).await.ok()
            }
        };
        note_end(ended);
    }

    async fn http2(self: Arc<Self>, stream: TcpStream, caller: Arc<Caller>) {
        let patience = self.shared.config().patience;
        let io = CallerIo::http2(stream, Arc::clone(&caller));
        let worker = Arc::clone(&self);
        let service = service_fn(move |request| {
            let (worker, caller) = (Arc::clone(&worker), Arc::clone(&caller));
            async move { worker.answer(&caller, request).await }
        });
        let head_bytes = self.header_bytes();
        let connection = http2::Builder::new(TokioExecutor::new())
            .max_header_list_size(head_bytes.max(HTTP2_HEAD_BYTES))
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .serve_connection(io, service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = self.shared.drain().cancelled() => {
                connection.as_mut().graceful_shutdown();
                timeout(patience.polite + patience.finish, connection).await.ok()
            }
        };
        note_end(ended);
    }

    async fn answer(
        &self,
        caller: &Arc<Caller>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        let version = request.version();
        let mut response = call::answer(self, caller, request).await;
        let leaves_http = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let ends = caller.is_closing() || self.shared.is_draining();
        if version < Version::HTTP_2 && !leaves_http && ends {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }
}

/// Whether a connection begins as HTTP/2 does: no method of HTTP/1 starts with "PRI".
async fn speaks_http2(stream: &TcpStream) -> io::Result<bool> {
    const BEGINNING: &[u8] = b"PRI";
    let mut first = [0; BEGINNING.len()];
    loop {
        let length = stream.peek(&mut first).await?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if first[..length] != BEGINNING[..length] {
            return Ok(false);
        }
        if length == BEGINNING.len() {
            return Ok(true);
        }
        sleep(SNIFF_PAUSE).await;
    }
}

/// A connection that broke before it was accepted concerns nobody; anything else is a lack of
/// something, and trying again at once would only burn time.
async fn rest_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    if !matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    ) {
        tracing::warn!(%error, "a connection could not be accepted");
        sleep(ACCEPT_PAUSE).await;
    }
}

fn note_end(ended: Option<hyper::Result<()>>) {
    match ended {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::debug!(%error, "a connection ended early"),
        None => tracing::warn!("a connection that outlasted the drain was cut"),
    }
}
