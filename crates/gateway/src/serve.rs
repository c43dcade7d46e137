//! Accepting connections, answering on them, and ending without losing a call.
//!
//! The end is polite, in this order: accept no more; answer what still comes with
//! `Connection: close`, so that callers go elsewhere by themselves; and only then have hyper close
//! what is left. Closing at once loses the calls that are on their way while a connection closes
//! (85 to 106 of 30,000 over 61 scale cycles; none this way).

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Patience;
use crate::routes::Routes;

/// The pause after the system refused a connection for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the connections of a unit have in common.
#[derive(Debug)]
struct Server {
    routes: Routes,
    patience: Patience,
    /// Set when the unit is to end.
    drain: CancellationToken,
    /// Set when the polite part of the drain is over.
    finish: CancellationToken,
}

/// Serves `listener` until `drain` is set, and returns when the last connection has ended.
pub(crate) async fn serve(
    listener: Arc<TcpListener>,
    routes: Routes,
    patience: Patience,
    drain: CancellationToken,
) {
    let finish = CancellationToken::new();
    let server = Arc::new(Server { routes, patience, drain, finish });
    let connections = TaskTracker::new();
    loop {
        tokio::select! {
            biased;
            () = server.drain.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(Arc::clone(&server).connection(stream));
                }
                Err(error) => rest_after(&error).await,
            },
        }
    }
    // The socket is shared: what still queues on it, another unit takes.
    drop(listener);
    connections.close();
    tracing::info!(connections = connections.len(), "draining");
    if timeout(patience.polite, connections.wait()).await.is_err() {
        server.finish.cancel();
        connections.wait().await;
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

impl Server {
    async fn connection(self: Arc<Self>, stream: TcpStream) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "answers on a connection will be delayed");
        }
        let service = service_fn(|request| {
            let answer = self.answer(&request);
            async move { Ok::<_, Infallible>(answer) }
        });
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.patience.request_head)
                .serve_connection(TokioIo::new(stream), service)
        );
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = self.finish.cancelled() => {
                connection.as_mut().graceful_shutdown();
                timeout(self.patience.finish, connection).await.ok()
            }
        };
        match ended {
            Some(Ok(())) => {}
            Some(Err(error)) => tracing::debug!(%error, "a connection ended early"),
            None => tracing::warn!("a call that outlasted the drain was cut"),
        }
    }

    fn answer(
        &self,
        request: &hyper::Request<Incoming>,
    ) -> hyper::Response<http_body_util::Full<bytes::Bytes>> {
        let mut response = self.routes.answer(request);
        if self.drain.is_cancelled() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
