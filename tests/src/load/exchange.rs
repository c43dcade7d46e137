//! One request, and its errors.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use error_reporter::Report;
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

/// Maximum number of bytes shown of an unexpected response.
const SHOWN: usize = 200;
/// Maximum size in bytes of a response that names its unit.
const MAX_STATUS_BODY: usize = 4096;

type Body = Full<Bytes>;

/// The sending side of a connection.
pub(super) enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

/// A connection, closed when dropped.
pub(super) struct Connection {
    /// One for each concurrent request.
    pub(super) senders: Vec<Sender>,
    _driver: AbortOnDropHandle<()>,
}

/// A request with the expected response.
pub(super) struct Success {
    /// True if the server closes the connection after this response.
    pub(super) closes: bool,
    /// The unit that responded, if the response names it.
    pub(super) unit: Option<String>,
}

/// A request without the expected response.
pub(super) enum ExchangeError {
    /// It was not sent: the connection was closed before.
    NotSent,
    /// While the request was about to be sent, the HTTP/2 server announced that it takes no further
    /// ones on this connection (RFC 9113, section 6.8).
    Unprocessed,
    /// It failed, and with HTTP/1.1 the connection is not usable anymore.
    Failed(Failure),
    /// The response was not the expected one. The flag is set if the server closes the connection.
    Unexpected(Failure, bool),
}

impl Connection {
    pub(super) async fn open(plan: &Plan) -> Result<Self, Failure> {
        let stream = TcpStream::connect(plan.server.address()).await.map_err(connect_failure)?;
        stream.set_nodelay(true).map_err(connect_failure)?;
        let stream = TokioIo::new(stream);
        // Errors of the driver surface in the requests.
        match plan.version {
            Version::Http1 => {
                let (sender, driver) = http1::handshake(stream).await.map_err(request_failure)?;
                let driver = tokio::spawn(async { drop(driver.await) });
                let senders = vec![Sender::Http1(sender)];
                Ok(Self { senders, _driver: AbortOnDropHandle::new(driver) })
            }
            Version::Http2 { streams } => {
                let handshake = http2::handshake(TokioExecutor::new(), stream);
                let (sender, driver) = handshake.await.map_err(request_failure)?;
                let driver = tokio::spawn(async { drop(driver.await) });
                let senders = (0..streams).map(|_| Sender::Http2(sender.clone())).collect();
                Ok(Self { senders, _driver: AbortOnDropHandle::new(driver) })
            }
        }
    }
}

impl Sender {
    /// Sends a request and reads its response, within the timeout of the plan.
    pub(super) async fn exchange(&mut self, plan: &Plan) -> Result<Success, ExchangeError> {
        match tokio::time::timeout(plan.timeout, self.exchange_without_timeout(plan)).await {
            Ok(result) => result,
            Err(_) => Err(ExchangeError::Failed(timed_out(plan.timeout))),
        }
    }

    async fn exchange_without_timeout(&mut self, plan: &Plan) -> Result<Success, ExchangeError> {
        let sent = match self {
            Self::Http1(sender) => {
                sender.ready().await.map_err(|_| ExchangeError::NotSent)?;
                sender.try_send_request(request(plan)).await
            }
            Self::Http2(sender) => {
                sender.ready().await.map_err(|_| ExchangeError::NotSent)?;
                sender.try_send_request(request(plan)).await
            }
        };
        let response = sent.map_err(|error: TrySendError<_>| match error.message() {
            Some(_) => ExchangeError::NotSent,
            None if is_unprocessed(error.error()) => ExchangeError::Unprocessed,
            None => ExchangeError::Failed(request_failure(error.into_error())),
        })?;
        read(response, plan).await
    }

    /// Returns true if further requests can be sent after a failed one.
    pub(super) fn is_usable(&self) -> bool {
        matches!(self, Self::Http2(sender) if !sender.is_closed())
    }
}

fn request(plan: &Plan) -> Request<Body> {
    let Plan { server, path, method, .. } = plan;
    let request = Request::builder().method(method);
    let request = match plan.version {
        // In HTTP/2 the authority is part of the request target; in HTTP/1.1 it is a header.
        Version::Http2 { .. } => request.uri(format!("http://{server}{path}")),
        Version::Http1 => request.uri(path).header(HOST, server.to_string()),
    };
    let request = request.body(Full::new(plan.body.clone()));
    let mut request = request.expect("the plan has a valid path");
    if !plan.keep_alive && plan.version == Version::Http1 {
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    request
}

async fn read(response: Response<Incoming>, plan: &Plan) -> Result<Success, ExchangeError> {
    let (head, mut body) = response.into_parts();
    let closes = head.headers.get(CONNECTION).is_some_and(|value| value == "close");
    let expected = plan.expected_body.as_ref().filter(|_| head.status == plan.status);
    let content_length = body.size_hint().exact();
    let (mut length, mut differs, mut start) = (0, false, BytesMut::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            let whole = content_length.map_or_else(String::new, |bytes| format!(" of {bytes}"));
            let detail = format!("{} after {length}{whole} bytes", Report::new(&error));
            ExchangeError::Failed(Failure { kind: FailureKind::TruncatedBody, detail })
        })?;
        let Some(data) = frame.data_ref() else { continue };
        differs |= expected.is_some_and(|all| all.get(length..length + data.len()) != Some(data));
        length += data.len();
        start.extend_from_slice(
            &data[..data.len().min(MAX_STATUS_BODY - start.len().min(MAX_STATUS_BODY))],
        );
    }
    if head.status != plan.status {
        let body = String::from_utf8_lossy(&start[..start.len().min(SHOWN)]).into_owned();
        let detail = format!("{}: {body}", head.status);
        return Err(ExchangeError::Unexpected(
            Failure { kind: FailureKind::UnexpectedStatus, detail },
            closes,
        ));
    }
    if differs || expected.is_some_and(|all| all.len() != length) {
        let wanted = expected.map_or(0, Bytes::len);
        let detail = format!("{length} bytes, not the expected {wanted}");
        return Err(ExchangeError::Unexpected(
            Failure { kind: FailureKind::UnexpectedBody, detail },
            closes,
        ));
    }
    let json = head.headers.get(CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    Ok(Success { closes, unit: json.then(|| unit(&start)).flatten() })
}

/// Returns the unit that the status body names.
fn unit(body: &[u8]) -> Option<String> {
    let status: Value = serde_json::from_slice(body).ok()?;
    Some(format!("{} incarnation {}", status["unit"].as_str()?, status["incarnation"].as_u64()?))
}

pub(super) fn timed_out(timeout: Duration) -> Failure {
    Failure {
        kind: FailureKind::TimedOut,
        detail: format!("no complete response within {timeout:?}"),
    }
}

fn connect_failure(error: io::Error) -> Failure {
    let kind = match error.kind() {
        io::ErrorKind::ConnectionRefused => FailureKind::Refused,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => FailureKind::Reset,
        io::ErrorKind::TimedOut => FailureKind::TimedOut,
        _ => FailureKind::Local,
    };
    Failure { kind, detail: format!("connect: {error}") }
}

fn request_failure(error: hyper::Error) -> Failure {
    let invalid = error.is_parse() || error.is_parse_status() || error.is_parse_too_large();
    let kind = if invalid { FailureKind::InvalidResponse } else { FailureKind::Reset };
    Failure { kind, detail: Report::new(&error).to_string() }
}

/// Returns true for a GOAWAY without an error for a request that the server did not process.
/// hyper's client also reports it for a request that it is sending when the GOAWAY arrives, without
/// waiting for the response: that is caused by the client, and the server could not prevent it.
fn is_unprocessed(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.is_some_and(|cause| {
        cause.is_go_away() && cause.is_remote() && cause.reason() == Some(h2::Reason::NO_ERROR)
    })
}
