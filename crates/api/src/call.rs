//! What happens around every call: a span, a count, a duration; and no panic reaches the connection.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::BodyExt;
use metrics::{counter, histogram};
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::{Instrument, Span, field};

use crate::error::Error;
use crate::metrics::{DURATION, REQUESTS};

/// The label of a method that does not exist: the names that callers make up are endless.
const NO_METHOD: &str = "unknown";

/// Wraps the services of a server.
#[derive(Clone)]
pub(crate) struct CallLayer {
    methods: Arc<BTreeSet<String>>,
}

impl CallLayer {
    /// Knows the methods of these compiled contracts; all others count as one.
    pub(crate) fn of<'a>(contracts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let files = contracts.into_iter().filter_map(|set| FileDescriptorSet::decode(set).ok());
        let files = files.flat_map(|set| set.file);
        let methods = files.flat_map(|file| {
            let package = file.package().to_owned();
            file.service.into_iter().flat_map(move |service| {
                let prefix = format!("{package}.{}", service.name());
                let paths =
                    service.method.iter().map(|method| format!("{prefix}/{}", method.name()));
                paths.collect::<Vec<_>>()
            })
        });
        Self { methods: Arc::new(methods.collect()) }
    }
}

impl<S> Layer<S> for CallLayer {
    type Service = CallService<S>;

    fn layer(&self, inner: S) -> CallService<S> {
        CallService { inner, methods: Arc::clone(&self.methods) }
    }
}

/// A service wrapped by [`CallLayer`].
#[derive(Clone)]
pub(crate) struct CallService<S> {
    inner: S,
    methods: Arc<BTreeSet<String>>,
}

impl<S> Service<Request<Body>> for CallService<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path().trim_start_matches('/');
        let method = self.methods.get(path).map_or(NO_METHOD, String::as_str);
        let call = Call::begin(method);
        let span = call.span.clone();
        let answer = self.inner.call(request);
        let followed = async move {
            let response = match AssertUnwindSafe(answer).catch_unwind().await {
                Ok(Ok(response)) => clarify(response),
                Err(_) => Status::from(Error::Panicked).into_http(),
            };
            Ok(call.follow(response))
        };
        Box::pin(followed.instrument(span))
    }
}

/// Statuses without details come from the framework, before a method was reached. What it says of a
/// message that is too long or cannot be decoded has codes that mean something else in the contract.
fn clarify(response: Response<Body>) -> Response<Body> {
    let headers = response.headers();
    if headers.contains_key(Status::GRPC_STATUS_DETAILS) {
        return response;
    }
    match Status::from_header_map(headers) {
        Some(status) if matches!(status.code(), Code::Internal | Code::OutOfRange) => {
            let cause = status.message().to_owned();
            Status::from(Error::Unreadable { cause }).into_http()
        }
        _ => response,
    }
}

/// One call, from its first byte to its last. Counted when it is dropped, however it ended.
struct Call {
    method: String,
    begun: Instant,
    code: Code,
    span: Span,
}

impl Call {
    fn begin(method: &str) -> Self {
        let span =
            tracing::info_span!("call", method, request_id = field::Empty, code = field::Empty);
        // What is dropped without an answer was cancelled, by its caller or by its deadline.
        Self { method: method.to_owned(), begun: Instant::now(), code: Code::Cancelled, span }
    }

    /// Notes the status wherever it comes: with the head of a refusal, or behind the last message.
    fn follow(mut self, response: Response<Body>) -> Response<Body> {
        if self.note(response.headers()) {
            return response;
        }
        response.map(|body| {
            Body::new(body.map_frame(move |frame| {
                if let Some(trailers) = frame.trailers_ref() {
                    self.note(trailers);
                }
                frame
            }))
        })
    }

    fn note(&mut self, headers: &HeaderMap) -> bool {
        let status = headers.get(Status::GRPC_STATUS);
        if let Some(status) = status {
            self.code = Code::from_bytes(status.as_bytes());
        }
        status.is_some()
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let code = name(self.code);
        let elapsed = self.begun.elapsed();
        self.span.record("code", code);
        counter!(REQUESTS, "method" => self.method.clone(), "code" => code).increment(1);
        histogram!(DURATION, "method" => self.method.clone()).record(elapsed.as_secs_f64());
        let _entered = self.span.enter();
        if self.code == Code::Internal {
            tracing::warn!(?elapsed, "a call failed for a reason that is a mistake in Meridian");
        } else {
            tracing::debug!(?elapsed, "a call ended");
        }
    }
}

/// The code as the contract writes it.
fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
