//! Backends for units under test.

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
    /// One that answers each call with its head and body as text.
    pub async fn echo() -> Self {
        Self::start(echo).await
    }

    /// One that answers as `answer` says.
    pub async fn start<F>(answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static) -> Self
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
                let answer = answer.clone();
                let service = service_fn(move |request| {
                    let answered = answer(request);
                    async { Ok::<_, Infallible>(answered.await) }
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

/// The head and body of a call as text.
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

/// A backend of bytes: what `behave` does with each connection, after a call's head came on it.
/// Returns its URL.
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

/// The head of the next call; `None` at the connection's end.
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

/// A backend that answers the first call on each connection well, and then closes it after it sent
/// `begin` of an answer to the second. Returns also the number of calls that it got.
pub fn closing(begin: &'static str) -> (String, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let url = raw(move |stream, _| {
        counter.fetch_add(1, Ordering::Relaxed);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").ok();
        if read_head(stream).is_some() {
            counter.fetch_add(1, Ordering::Relaxed);
            stream.write_all(begin.as_bytes()).ok();
        }
        stream.shutdown(std::net::Shutdown::Both).ok();
    });
    (url, calls)
}

/// A backend that answers each call with `answer`, whatever that is, and then closes.
pub fn canned(answer: &'static str) -> String {
    raw(move |stream, _| {
        stream.write_all(answer.as_bytes()).ok();
        stream.shutdown(std::net::Shutdown::Both).ok();
    })
}
