//! HTTP/1 backends for units under test.

use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener as StdTcpListener, TcpStream as StdTcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// A well-behaved backend.
pub struct Backend {
    pub address: SocketAddr,
    pub connections: Arc<AtomicUsize>,
}

impl Backend {
    /// Starts a backend that responds with the head and body of each request as text.
    pub async fn echo() -> Self {
        Self::start(echo).await
    }

    /// Starts a backend that responds with the results of `handler`.
    pub async fn start<F>(handler: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static) -> Self
    where
        F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counter.fetch_add(1, Ordering::Relaxed);
                let handler = handler.clone();
                let service = service_fn(move |request| {
                    let responding = handler(request);
                    async { Ok::<_, Infallible>(responding.await) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, connections }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// Responds with the head and body of a request as text.
pub async fn echo(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let mut text = format!("{} {}\n", parts.method, parts.uri);
    for (name, value) in &parts.headers {
        text.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
    }
    text.push('\n');
    text.push_str(str::from_utf8(&body).unwrap());
    Response::new(Full::from(text))
}

/// Starts a backend that calls `behave` on a connection after each request head. Returns its URL.
pub fn raw(behave: impl Fn(&mut StdTcpStream, &str) + Send + Sync + 'static) -> String {
    let listener = StdTcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let behave = Arc::new(behave);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, behave) = (stream.unwrap(), Arc::clone(&behave));
            std::thread::spawn(move || {
                while let Some(head) = read_head(&mut stream) {
                    behave(&mut stream, &head);
                }
            });
        }
    });
    url
}

/// Reads the head of the next request, or returns `None` at the end of the connection.
fn read_head(stream: &mut StdTcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if !matches!(stream.read(&mut byte), Ok(1)) {
            return None;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

/// Starts a backend that responds properly to the first request on each connection, and closes the
/// connection after it sent `begin` of a response to the second. Returns its URL and the number of
/// requests that it received.
pub fn closing(begin: &'static str) -> (String, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&requests);
    let url = raw(move |stream, _| {
        counter.fetch_add(1, Ordering::Relaxed);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").ok();
        if read_head(stream).is_some() {
            counter.fetch_add(1, Ordering::Relaxed);
            stream.write_all(begin.as_bytes()).ok();
        }
        stream.shutdown(std::net::Shutdown::Both).ok();
    });
    (url, requests)
}

/// Starts a backend that sends `response`, valid or not, to each request and closes the connection.
pub fn canned(response: &'static str) -> String {
    raw(move |stream, _| {
        stream.write_all(response.as_bytes()).ok();
        stream.shutdown(std::net::Shutdown::Both).ok();
    })
}
