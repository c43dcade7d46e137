//! What speaks HTTP/2 to units under test: backends behind them, callers before them.

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

/// One call that a backend got.
pub struct Call {
    pub request: Request<RecvStream>,
    pub respond: SendResponse<Bytes>,
    /// Which connection it came on, from 1 on.
    pub connection: usize,
    /// Which call on that connection it is, from 1 on.
    pub number: usize,
}

impl Call {
    pub fn path(&self) -> &str {
        self.request.uri().path()
    }

    /// Answers with `text`.
    pub fn answer(mut self, text: &str) {
        let mut body = self.respond.send_response(Response::new(()), false).unwrap();
        body.send_data(Bytes::copy_from_slice(text.as_bytes()), true).ok();
    }

    /// The body of the call, and the fields behind it.
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

/// A backend of streams.
pub struct Backend {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    calls: Arc<AtomicUsize>,
    /// Connections that ended.
    pub ended: Arc<AtomicUsize>,
}

impl Backend {
    /// One that has `handle` answer each call, in a task of its own.
    pub async fn start<F>(handle: impl Fn(Call) -> F + Clone + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::limited(None, None, handle).await
    }

    /// One that takes `streams` calls at a time, and ends each connection after `last` of them.
    pub async fn limited<F>(
        streams: Option<u32>,
        last: Option<usize>,
        handle: impl Fn(Call) -> F + Clone + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, calls, ended) =
            (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default(), Arc::default());
        let backend = Self {
            address,
            connections: Arc::clone(&connections),
            calls: Arc::clone(&calls),
            ended: Arc::clone(&ended),
        };
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let connection = connections.fetch_add(1, Ordering::Relaxed) + 1;
                let handle = handle.clone();
                let (calls, ended) = (Arc::clone(&calls), Arc::clone(&ended));
                tokio::spawn(async move {
                    let mut builder = Builder::new();
                    if let Some(streams) = streams {
                        builder.max_concurrent_streams(streams);
                    }
                    let Ok(mut serving) = builder.handshake(stream).await else { return };
                    let mut number = 0;
                    while let Some(Ok((request, respond))) = serving.accept().await {
                        calls.fetch_add(1, Ordering::Relaxed);
                        number += 1;
                        tokio::spawn(handle(Call { request, respond, connection, number }));
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

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

/// A connection of a caller that speaks HTTP/2, whose calls are all one worker's.
#[derive(Clone)]
pub struct Streams(pub h2::client::SendRequest<Bytes>);

/// What came back of a call.
#[derive(Debug)]
pub struct Answered {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
    pub trailers: Option<HeaderMap>,
}

impl Streams {
    pub async fn connect(unit: &Running) -> Self {
        Self::over(TcpStream::connect(unit.address).await.unwrap()).await
    }

    pub async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    /// A call to `path`, whose answer is not waited for.
    pub async fn begin(&self, method: &str, path: &str) -> h2::client::ResponseFuture {
        let mut sender = self.0.clone().ready().await.unwrap();
        let request = Request::builder().method(method).uri(format!("http://shop.example{path}"));
        let request = request.header("te", "trailers").body(()).unwrap();
        sender.send_request(request, true).unwrap().0
    }

    pub async fn call(&self, method: &str, path: &str) -> Answered {
        let answer = self.begin(method, path).await;
        timeout(Duration::from_secs(20), Answered::receive(answer)).await.unwrap()
    }
}

impl Answered {
    pub async fn receive(answer: h2::client::ResponseFuture) -> Self {
        let (parts, mut incoming) = answer.await.unwrap().into_parts();
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

/// A unit that has `backend` for all calls.
pub fn serving(backend: &Backend) -> Running {
    let mut patient = api("/", backend.url());
    (patient.connect_timeout_ms, patient.response_timeout_ms) = (10_000, 10_000);
    patient.idle_timeout_ms = 10_000;
    Running::serving(configuration(1, vec![patient]))
}

/// The same, with short time-outs.
pub fn serving_briefly(backend: &Backend) -> Running {
    let mut brief = api("/", backend.url());
    brief.idle_timeout_ms = 1_500;
    Running::serving(configuration(1, vec![brief]))
}

/// A backend of frames: on its first connection it waits for three calls, answers the first, and ends
/// the connection, saying that it looked at `looked_at` calls. Later ones answer each call at once.
pub fn ends_within(looked_at: u32) -> String {
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
    fn answer(stream: &mut StdTcpStream, number: u32) {
        // Ends the head and the stream; the one field is ":status: 200" of the static table.
        stream.write_all(&frame(HEADERS, 0x5, number, &[0x88])).unwrap();
    }
    fn serve(mut stream: StdTcpStream, ends_after: Option<u32>) {
        stream.read_exact(&mut [0; 24]).unwrap();
        stream.write_all(&frame(4, 0, 0, &[])).unwrap();
        let mut calls = Vec::new();
        while let Some((kind, number)) = read_frame(&mut stream) {
            if kind != HEADERS {
                continue;
            }
            let Some(looked_at) = ends_after else {
                answer(&mut stream, number);
                continue;
            };
            calls.push(number);
            if calls.len() == 3 {
                answer(&mut stream, calls[0]);
                let last = calls[looked_at as usize - 1].to_be_bytes();
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
            let ends_after = (number == 0).then_some(looked_at);
            std::thread::spawn(move || serve(stream.unwrap(), ends_after));
        }
    });
    url
}
