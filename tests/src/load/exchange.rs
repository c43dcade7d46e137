//! One request, and why it failed.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::{TrySendError, http1, http2};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use super::counts::{Failure, FailureKind};
use super::plan::{Plan, Version};

/// How much of a wrong answer is shown, in bytes.
const SHOWN: usize = 200;
/// How long an answer that names a unit is at most, in bytes.
const NAMED: usize = 4096;

type Body = Full<Bytes>;

/// The side of a connection on which requests are sent.
pub(super) enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

/// A connection; closed when it is dropped.
pub(super) struct Connection {
    /// One for each request at a time.
    pub(super) senders: Vec<Sender>,
    _driver: AbortOnDropHandle<()>,
}

/// A request that was answered as it should be.
pub(super) struct Success {
    /// Whether the server closes the connection now.
    pub(super) closes: bool,
    /// Who answered, where the answer says so.
    pub(super) unit: Option<String>,
}

/// A request that was not.
pub(super) enum Fault {
    /// It was not written: the connection had been closed before.
    Unwritten,
    /// The server said by HTTP/2 that it takes no further requests on this connection (RFC 9113,
    /// section 6.8) while this one was about to be written.
    GivenBack,
    /// It failed, and with HTTP/1.1 its connection is of no use any more.
    Broken(Failure),
    /// It was answered wrongly; the connection can be used on.
    Wrong(Failure, bool),
}

impl Connection {
    pub(super) async fn open(plan: &Plan) -> Result<Self, Failure> {
        let stream = TcpStream::connect(plan.address).await.map_err(unconnected)?;
        stream.set_nodelay(true).map_err(unconnected)?;
        let stream = TokioIo::new(stream);
        // How the driver ends, the requests see.
        match plan.version {
            Version::Http1 => {
                let (sender, driver) = http1::handshake(stream).await.map_err(broken)?;
                let driver = tokio::spawn(async { drop(driver.await) });
                let senders = vec![Sender::Http1(sender)];
                Ok(Self { senders, _driver: AbortOnDropHandle::new(driver) })
            }
            Version::Http2 { streams } => {
                let handshake = http2::handshake(TokioExecutor::new(), stream);
                let (sender, driver) = handshake.await.map_err(broken)?;
                let driver = tokio::spawn(async { drop(driver.await) });
                let senders = (0..streams).map(|_| Sender::Http2(sender.clone())).collect();
                Ok(Self { senders, _driver: AbortOnDropHandle::new(driver) })
            }
        }
    }
}

impl Sender {
    /// Sends a request and reads its answer, within the time that the plan gives.
    pub(super) async fn exchange(&mut self, plan: &Plan) -> Result<Success, Fault> {
        match tokio::time::timeout(plan.timeout, self.unlimited(plan)).await {
            Ok(result) => result,
            Err(_) => Err(Fault::Broken(late(plan.timeout))),
        }
    }

    async fn unlimited(&mut self, plan: &Plan) -> Result<Success, Fault> {
        let sent = match self {
            Self::Http1(sender) => {
                sender.ready().await.map_err(|_| Fault::Unwritten)?;
                sender.try_send_request(request(plan)).await
            }
            Self::Http2(sender) => {
                sender.ready().await.map_err(|_| Fault::Unwritten)?;
                sender.try_send_request(request(plan)).await
            }
        };
        let answer = sent.map_err(|error: TrySendError<_>| match error.message() {
            Some(_) => Fault::Unwritten,
            None if is_given_back(error.error()) => Fault::GivenBack,
            None => Fault::Broken(broken(error.into_error())),
        })?;
        read(answer, plan).await
    }

    /// Whether another request can be sent after one that failed.
    pub(super) fn survives(&self) -> bool {
        matches!(self, Self::Http2(sender) if !sender.is_closed())
    }
}

fn request(plan: &Plan) -> Request<Body> {
    let Plan { address, path, method, .. } = plan;
    let request = Request::builder().method(method);
    let request = match plan.version {
        // By HTTP/2 the authority is a part of the address; by HTTP/1.1 it is a header.
        Version::Http2 { .. } => request.uri(format!("http://{address}{path}")),
        Version::Http1 => request.uri(path).header(HOST, address.to_string()),
    };
    let request = request.body(Full::new(plan.body.clone()));
    let mut request = request.expect("plans have paths");
    if !plan.keep_alive && plan.version == Version::Http1 {
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    request
}

async fn read(answer: Response<Incoming>, plan: &Plan) -> Result<Success, Fault> {
    let (head, mut body) = answer.into_parts();
    let closes = head.headers.get(CONNECTION).is_some_and(|value| value == "close");
    let expected = plan.answer.as_ref().filter(|_| head.status == plan.status);
    let promised = body.size_hint().exact();
    let (mut length, mut differs, mut start) = (0, false, BytesMut::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            let whole = promised.map_or_else(String::new, |bytes| format!(" of {bytes}"));
            let seen = format!("{} after {length}{whole} bytes", told(&error));
            Fault::Broken(Failure { kind: FailureKind::CutBody, seen })
        })?;
        let Some(data) = frame.data_ref() else { continue };
        differs |= expected.is_some_and(|all| all.get(length..length + data.len()) != Some(data));
        length += data.len();
        start.extend_from_slice(&data[..data.len().min(NAMED - start.len().min(NAMED))]);
    }
    if head.status != plan.status {
        let body = String::from_utf8_lossy(&start[..start.len().min(SHOWN)]).into_owned();
        let seen = format!("{}: {body}", head.status);
        return Err(Fault::Wrong(Failure { kind: FailureKind::WrongStatus, seen }, closes));
    }
    if differs || expected.is_some_and(|all| all.len() != length) {
        let wanted = expected.map_or(0, Bytes::len);
        let seen = format!("{length} bytes, not the {wanted} that are right");
        return Err(Fault::Wrong(Failure { kind: FailureKind::WrongBody, seen }, closes));
    }
    let json = head.headers.get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    Ok(Success { closes, unit: json.then(|| unit(&start)).flatten() })
}

/// The unit that says in this body who it is.
fn unit(body: &[u8]) -> Option<String> {
    let said: Value = serde_json::from_slice(body).ok()?;
    Some(format!("{} incarnation {}", said["unit"].as_str()?, said["incarnation"].as_u64()?))
}

pub(super) fn late(timeout: Duration) -> Failure {
    Failure { kind: FailureKind::TimedOut, seen: format!("no complete answer in {timeout:?}") }
}

fn unconnected(error: io::Error) -> Failure {
    let kind = match error.kind() {
        io::ErrorKind::ConnectionRefused => FailureKind::Refused,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => FailureKind::Reset,
        io::ErrorKind::TimedOut => FailureKind::TimedOut,
        _ => FailureKind::Local,
    };
    Failure { kind, seen: format!("to connect: {error}") }
}

fn broken(error: hyper::Error) -> Failure {
    let garbled = error.is_parse() || error.is_parse_status() || error.is_parse_too_large();
    let kind = if garbled { FailureKind::Garbled } else { FailureKind::Reset };
    Failure { kind, seen: told(&error) }
}

/// Whether a server that ends without an error did not begin this request. hyper's client says the
/// same of a request that it is just writing when the announcement comes, and does not wait for the
/// answer: that is the caller's doing, and nothing the server could prevent.
fn is_given_back(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.is_some_and(|cause| {
        cause.is_go_away() && cause.is_remote() && cause.reason() == Some(h2::Reason::NO_ERROR)
    })
}

/// The error with its causes.
fn told(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
