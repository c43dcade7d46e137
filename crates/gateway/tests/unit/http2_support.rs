//! HTTP/2 backends and clients for units under test.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener as StdTcpListener, TcpStream as StdTcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{Builder, SendResponse};
use hyper::header::HeaderMap;
use hyper::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::support::{Running, api, configuration};

/// A request that a backend received, and the handle to respond to it.
pub struct Exchange {
    pub request: Request<RecvStream>,
    pub responder: SendResponse<Bytes>,
    /// Number of the connection, from 1.
    pub connection: usize,
    /// Number of the request on that connection, from 1.
    pub number: usize,
}

impl Exchange {
    pub fn path(&self) -> &str {
        self.request.uri().path()
    }

    /// Responds with `text`.
    pub fn respond(mut self, text: &str) {
        let mut body = self.responder.send_response(Response::new(()), false).unwrap();
        body.send_data(Bytes::copy_from_slice(text.as_bytes()), true).ok();
    }

    /// Reads the body of the request, and its trailers.
    pub async fn read(&mut self) -> (Vec<u8>, Option<HeaderMap>) {
        let (mut read, body) = (Vec::new(), self.request.body_mut());
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            read.extend_from_slice(&data);
        }
        (read, body.trailers().await.unwrap())
    }
}

/// An HTTP/2 backend.
pub struct Backend {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    /// Number of connections that ended.
    pub ended: Arc<AtomicUsize>,
}

impl Backend {
    /// Starts a backend that calls `handle` for each request, in its own task.
    pub async fn start<F>(handle: impl Fn(Exchange) -> F + Clone + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::limited(None, None, handle).await
    }

    /// Starts a backend that allows `streams` concurrent streams and closes each connection after
    /// `last` requests.
    pub async fn limited<F>(
        streams: Option<u32>,
        last: Option<usize>,
        handle: impl Fn(Exchange) -> F + Clone + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, requests, ended) =
            (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default(), Arc::default());
        let backend = Self {
            address,
            connections: Arc::clone(&connections),
            requests: Arc::clone(&requests),
            ended: Arc::clone(&ended),
        };
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let connection = connections.fetch_add(1, Ordering::Relaxed) + 1;
                let handle = handle.clone();
                let (requests, ended) = (Arc::clone(&requests), Arc::clone(&ended));
                tokio::spawn(async move {
                    let mut builder = Builder::new();
                    if let Some(streams) = streams {
                        builder.max_concurrent_streams(streams);
                    }
                    let Ok(mut serving) = builder.handshake(stream).await else { return };
                    let mut number = 0;
                    while let Some(Ok((request, responder))) = serving.accept().await {
                        requests.fetch_add(1, Ordering::Relaxed);
                        number += 1;
                        tokio::spawn(handle(Exchange { request, responder, connection, number }));
                        if Some(number) == last {
                            serving.graceful_shutdown();
                        }
                    }
                    ended.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        backend
    }

    pub fn url(&self) -> String {
        format!("h2c://{}", self.address)
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

/// An HTTP/2 connection of a client, whose requests are all served by one worker.
#[derive(Clone)]
pub struct Http2Client(pub h2::client::SendRequest<Bytes>);

/// A response that a client received.
#[derive(Debug)]
pub struct Http2Response {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
    pub trailers: Option<HeaderMap>,
}

impl Http2Client {
    pub async fn connect(unit: &Running) -> Self {
        Self::over(TcpStream::connect(unit.address).await.unwrap()).await
    }

    pub async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    /// Sends a request to `path` without waiting for the response.
    pub async fn begin(&self, method: &str, path: &str) -> h2::client::ResponseFuture {
        let mut sender = self.0.clone().ready().await.unwrap();
        let request = Request::builder().method(method).uri(format!("http://shop.example{path}"));
        let request = request.header("te", "trailers").body(()).unwrap();
        sender.send_request(request, true).unwrap().0
    }

    pub async fn request(&self, method: &str, path: &str) -> Http2Response {
        let response = self.begin(method, path).await;
        timeout(Duration::from_secs(20), Http2Response::receive(response)).await.unwrap()
    }
}

impl Http2Response {
    pub async fn receive(response: h2::client::ResponseFuture) -> Self {
        let (parts, mut incoming) = response.await.unwrap().into_parts();
        let mut body = Vec::new();
        while let Some(data) = incoming.data().await {
            let data = data.unwrap();
            incoming.flow_control().release_capacity(data.len()).unwrap();
            body.extend_from_slice(&data);
        }
        Self {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8(body).unwrap(),
            trailers: incoming.trailers().await.unwrap(),
        }
    }
}

/// Starts a unit that forwards all requests to `backend`.
pub fn serving(backend: &Backend) -> Running {
    let mut patient = api("/", backend.url());
    (patient.connect_timeout_ms, patient.response_timeout_ms) = (10_000, 10_000);
    patient.idle_timeout_ms = 10_000;
    Running::serving(configuration(1, vec![patient]))
}

/// Starts a unit that forwards all requests to `backend`, with short timeouts.
pub fn serving_with_short_timeouts(backend: &Backend) -> Running {
    let mut api = api("/", backend.url());
    api.idle_timeout_ms = 1_500;
    Running::serving(configuration(1, vec![api]))
}

/// Starts a backend that writes raw frames: on its first connection it waits for three requests,
/// responds to the first, and sends GOAWAY with the last processed stream set to number `processed`
/// of them. On later connections it responds to each request immediately.
pub fn goaway_after(processed: u32) -> String {
    const HEADERS: u8 = 1;
    const GO_AWAY: u8 = 7;
    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        frame
    }
    fn read_frame(stream: &mut StdTcpStream) -> Option<(u8, u32)> {
        let mut head = [0; 9];
        stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        stream.read_exact(&mut vec![0; length as usize]).ok()?;
        Some((head[3], u32::from_be_bytes([head[5], head[6], head[7], head[8]])))
    }
    fn respond(stream: &mut StdTcpStream, number: u32) {
        // Ends the head and the stream; the only header is ":status: 200" from the static table.
        stream.write_all(&frame(HEADERS, 0x5, number, &[0x88])).unwrap();
    }
    fn serve(mut stream: StdTcpStream, ends_after: Option<u32>) {
        stream.read_exact(&mut [0; 24]).unwrap();
        stream.write_all(&frame(4, 0, 0, &[])).unwrap();
        let mut requests = Vec::new();
        while let Some((kind, number)) = read_frame(&mut stream) {
            if kind != HEADERS {
                continue;
            }
            let Some(processed) = ends_after else {
                respond(&mut stream, number);
                continue;
            };
            requests.push(number);
            if requests.len() == 3 {
                respond(&mut stream, requests[0]);
                let last = requests[processed as usize - 1].to_be_bytes();
                let reason = [0; 4];
                stream.write_all(&frame(GO_AWAY, 0, 0, &[last, reason].concat())).unwrap();
                return;
            }
        }
    }
    let listener = StdTcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("h2c://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let ends_after = (number == 0).then_some(processed);
            std::thread::spawn(move || serve(stream.unwrap(), ends_after));
        }
    });
    url
}
