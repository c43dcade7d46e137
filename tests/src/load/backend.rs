//! A server that returns bodies of a given size, or echoes requests.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// Maximum size of a generated body in bytes.
pub const MAX_BODY: usize = 4 << 20;

/// Returns the first `bytes` bytes of the pattern of all bodies, at most [`MAX_BODY`]. The pattern
/// repeats after 251 bytes, a prime, so that moved or missing pieces are detected.
#[must_use]
pub fn pattern(bytes: usize) -> Bytes {
    static PATTERN: OnceLock<Bytes> = OnceLock::new();
    let all = PATTERN.get_or_init(|| (0..=250).cycle().take(MAX_BODY).collect());
    all.slice(..bytes.min(MAX_BODY))
}

/// An HTTP/1.1 and HTTP/2 server in this process, stopped when dropped.
///
/// | path | response body |
/// | --- | --- |
/// | `/bytes/N` | N bytes of the [`pattern`] |
/// | `/echo` | the request body, streamed |
/// | `/length` | the length of the request body, in decimal digits |
///
/// Any other path returns 404.
#[derive(Debug)]
pub struct Backend {
    address: SocketAddr,
    requests: Arc<AtomicU64>,
    _server: AbortOnDropHandle<()>,
}

impl Backend {
    /// Starts a server on the address; port 0 selects a free port.
    ///
    /// # Errors
    /// If the address is in use or not available.
    pub async fn start(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let requests = Arc::<AtomicU64>::default();
        let server = tokio::spawn(serve(listener, Arc::clone(&requests)));
        Ok(Self { address, requests, _server: AbortOnDropHandle::new(server) })
    }

    /// Returns the listen address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the number of requests received so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

async fn serve(listener: TcpListener, requests: Arc<AtomicU64>) {
    // Dropped with this future, so that the connections end with the server.
    let mut connections = JoinSet::new();
    loop {
        // A failed accept is observed and counted by the client.
        let Ok((stream, _)) = listener.accept().await else { continue };
        connections.spawn(connection(stream, Arc::clone(&requests)));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, requests: Arc<AtomicU64>) {
    let service = service_fn(move |request| {
        requests.fetch_add(1, Ordering::Relaxed);
        respond(request)
    });
    // Otherwise responses wait for the acknowledgement of their heads. Best effort.
    let _ = stream.set_nodelay(true);
    let builder = auto::Builder::new(TokioExecutor::new());
    // The end of a connection is observed and counted by the client.
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

type Body = BoxBody<Bytes, hyper::Error>;

async fn respond(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path();
    let size = path.strip_prefix("/bytes/").and_then(|size| size.parse().ok());
    let body = match (path, size) {
        (_, Some(size)) if size <= MAX_BODY => full(pattern(size)),
        ("/echo", _) => request.into_body().boxed(),
        ("/length", _) => full(length(request.into_body()).await.to_string()),
        _ => {
            let mut response = Response::new(full("no such path"));
            *response.status_mut() = StatusCode::NOT_FOUND;
            return Ok(response);
        }
    };
    let mut response = Response::new(body);
    let kind = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

/// Returns the number of received bytes, up to the end of the body or of the connection.
async fn length(mut body: Incoming) -> usize {
    let mut length = 0;
    while let Some(Ok(frame)) = body.frame().await {
        length += frame.data_ref().map_or(0, Bytes::len);
    }
    length
}

fn full(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).map_err(|never| match never {}).boxed()
}
