//! What happens around every call: a span, a count, a duration; and no panic reaches the connection.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::BodyExt;
use metrics::{Counter, Histogram, counter, histogram};
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
    methods: Arc<Methods>,
}

/// The methods of the contracts, and the one that stands for all others.
struct Methods {
    known: BTreeMap<String, Arc<Method>>,
    unknown: Arc<Method>,
}

/// A method, with the meters of its calls: looking one up by its labels takes longer than counting.
struct Method {
    name: String,
    duration: OnceLock<Histogram>,
    succeeded: OnceLock<Counter>,
}

impl Method {
    fn new(name: String) -> Self {
        Self { name, duration: OnceLock::new(), succeeded: OnceLock::new() }
    }

    /// Counts a call that ended.
    fn count(&self, code: Code, elapsed: Duration) {
        let duration = || histogram!(DURATION, "method" => self.name.clone());
        self.duration.get_or_init(duration).record(elapsed.as_secs_f64());
        let calls = || counter!(REQUESTS, "method" => self.name.clone(), "code" => name(code));
        match code {
            Code::Ok => self.succeeded.get_or_init(calls).increment(1),
            _ => calls().increment(1),
        }
    }
}

impl Methods {
    fn find(&self, path: &str) -> &Arc<Method> {
        self.known.get(path).unwrap_or(&self.unknown)
    }
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
        let known = methods.map(|name| (name.clone(), Arc::new(Method::new(name)))).collect();
        let unknown = Arc::new(Method::new(NO_METHOD.to_owned()));
        Self { methods: Arc::new(Methods { known, unknown }) }
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
    methods: Arc<Methods>,
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
        let call = Call::begin(Arc::clone(self.methods.find(path)));
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
    method: Arc<Method>,
    begun: Instant,
    code: Code,
    span: Span,
}

impl Call {
    fn begin(method: Arc<Method>) -> Self {
        // Formatted with its fields for every call: so only for who looks that closely.
        let span = tracing::debug_span!("call", method = method.name, request_id = field::Empty);
        // What is dropped without an answer was cancelled, by its caller or by its deadline.
        Self { method, begun: Instant::now(), code: Code::Cancelled, span }
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
        let (code, elapsed) = (name(self.code), self.begun.elapsed());
        self.method.count(self.code, elapsed);
        let _entered = self.span.enter();
        if self.code == Code::Internal {
            let method = self.method.name.as_str();
            tracing::warn!(
                method,
                ?elapsed,
                "a call failed for a reason that is a mistake in Meridian"
            );
        } else {
            tracing::debug!(code, ?elapsed, "a call ended");
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
