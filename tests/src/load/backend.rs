//! A server that gives bodies of a size, or what it was sent.

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

/// The longest body that a [`Backend`] gives by itself, in bytes.
pub const MAX_BODY: usize = 4 << 20;

/// The first so many bytes of what all bodies are made of, at most [`MAX_BODY`]. They repeat after
/// 251 bytes: a prime, so that a body with a piece moved or left out is another.
#[must_use]
pub fn pattern(bytes: usize) -> Bytes {
    static PATTERN: OnceLock<Bytes> = OnceLock::new();
    let all = PATTERN.get_or_init(|| (0..=250).cycle().take(MAX_BODY).collect());
    all.slice(..bytes.min(MAX_BODY))
}

/// A server of HTTP/1.1 and HTTP/2, in this process, until it is dropped.
///
/// | path | answer |
/// | --- | --- |
/// | `/bytes/N` | the [`pattern`], N bytes of it |
/// | `/echo` | the body of the request, as it comes |
/// | `/length` | how many bytes the body of the request has, in digits |
///
/// Anything else is answered with 404.
#[derive(Debug)]
pub struct Backend {
    address: SocketAddr,
    answered: Arc<AtomicU64>,
    _server: AbortOnDropHandle<()>,
}

impl Backend {
    /// Starts one on that address; port 0 is one that is free.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub async fn start(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let answered = Arc::<AtomicU64>::default();
        let server = tokio::spawn(serve(listener, Arc::clone(&answered)));
        Ok(Self { address, answered, _server: AbortOnDropHandle::new(server) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests that it has begun to answer.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

async fn serve(listener: TcpListener, answered: Arc<AtomicU64>) {
    // Dropped with this future: the connections end with the server.
    let mut connections = JoinSet::new();
    loop {
        // What cannot be accepted is the caller's failure, who counts it.
        let Ok((stream, _)) = listener.accept().await else { continue };
        connections.spawn(connection(stream, Arc::clone(&answered)));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, answered: Arc<AtomicU64>) {
    let service = service_fn(move |request| {
        answered.fetch_add(1, Ordering::Relaxed);
        answer(request)
    });
    // Without it, answers wait for acknowledgements of their heads; where it is refused, so they do.
    let _ = stream.set_nodelay(true);
    let builder = auto::Builder::new(TokioExecutor::new());
    // How a connection ends is seen, and counted, by the one who opened it.
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

type Body = BoxBody<Bytes, hyper::Error>;

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
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

/// How many bytes come, until the end or until the caller breaks off.
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
