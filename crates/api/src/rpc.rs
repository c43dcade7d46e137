//! Middleware around every request: a span, metrics, and a layer that catches panics before they
//! end the connection.

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

/// Label of unknown methods: clients can invent any number of names.
const NO_METHOD: &str = "unknown";

/// Wraps the services of a server.
#[derive(Clone)]
pub(crate) struct RpcLayer {
    methods: Arc<Methods>,
}

/// Methods of the contracts, and a placeholder for all others.
struct Methods {
    known: BTreeMap<String, Arc<Method>>,
    unknown: Arc<Method>,
}

/// Method with its metrics, cached because a lookup by labels takes longer than counting.
struct Method {
    name: String,
    duration: OnceLock<Histogram>,
    succeeded: OnceLock<Counter>,
}

impl Method {
    fn new(name: String) -> Self {
        Self { name, duration: OnceLock::new(), succeeded: OnceLock::new() }
    }

    /// Counts a completed request.
    fn count(&self, code: Code, elapsed: Duration) {
        let duration = || histogram!(DURATION, "method" => self.name.clone());
        self.duration.get_or_init(duration).record(elapsed.as_secs_f64());
        let requests = || counter!(REQUESTS, "method" => self.name.clone(), "code" => name(code));
        if code == Code::Ok {
            self.succeeded.get_or_init(requests).increment(1);
        } else {
            requests().increment(1);
        }
    }
}

impl Methods {
    fn find(&self, path: &str) -> &Arc<Method> {
        self.known.get(path).unwrap_or(&self.unknown)
    }
}

impl RpcLayer {
    /// Creates the layer for the methods of these compiled contracts; all others are counted as
    /// one.
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

impl<S> Layer<S> for RpcLayer {
    type Service = RpcService<S>;

    fn layer(&self, inner: S) -> RpcService<S> {
        RpcService { inner, methods: Arc::clone(&self.methods) }
    }
}

/// Service wrapped by [`RpcLayer`].
#[derive(Clone)]
pub(crate) struct RpcService<S> {
    inner: S,
    methods: Arc<Methods>,
}

impl<S> Service<Request<Body>> for RpcService<S>
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
        let rpc = Rpc::start(Arc::clone(self.methods.find(path)));
        let span = rpc.span.clone();
        let response = self.inner.call(request);
        let observed = async move {
            let response = match AssertUnwindSafe(response).catch_unwind().await {
                Ok(Ok(response)) => clarify(response),
                Err(_) => Status::from(Error::Panicked).into_http(),
            };
            Ok(rpc.observe(response))
        };
        Box::pin(observed.instrument(span))
    }
}

/// Converts statuses of the framework, which have no details: its codes for a message that is too
/// long or cannot be decoded have another meaning in the contract.
fn clarify(response: Response<Body>) -> Response<Body> {
    let headers = response.headers();
    if headers.contains_key(Status::GRPC_STATUS_DETAILS) {
        return response;
    }
    match Status::from_header_map(headers) {
        Some(status) if matches!(status.code(), Code::Internal | Code::OutOfRange) => {
            let cause = status.message().to_owned();
            Status::from(Error::Undecodable { cause }).into_http()
        }
        _ => response,
    }
}

/// Request in progress. Counted when dropped, however it ended.
struct Rpc {
    method: Arc<Method>,
    start: Instant,
    code: Code,
    span: Span,
}

impl Rpc {
    fn start(method: Arc<Method>) -> Self {
        // Its fields are formatted for every request, so the span exists at debug level only.
        let span = tracing::debug_span!("request", method = method.name, request_id = field::Empty);
        // A request that is dropped without a response was cancelled by its client or its deadline.
        Self { method, start: Instant::now(), code: Code::Cancelled, span }
    }

    /// Records the status from the headers of an error, or from the trailers after the last
    /// message.
    fn observe(mut self, response: Response<Body>) -> Response<Body> {
        if self.record(response.headers()) {
            return response;
        }
        response.map(|body| {
            Body::new(body.map_frame(move |frame| {
                if let Some(trailers) = frame.trailers_ref() {
                    self.record(trailers);
                }
                frame
            }))
        })
    }

    fn record(&mut self, headers: &HeaderMap) -> bool {
        let status = headers.get(Status::GRPC_STATUS);
        if let Some(status) = status {
            self.code = Code::from_bytes(status.as_bytes());
        }
        status.is_some()
    }
}

impl Drop for Rpc {
    fn drop(&mut self) {
        let (code, elapsed) = (name(self.code), self.start.elapsed());
        self.method.count(self.code, elapsed);
        let _entered = self.span.enter();
        if self.code == Code::Internal {
            let method = self.method.name.as_str();
            tracing::warn!(method, ?elapsed, "internal error: a request failed due to a defect");
        } else {
            tracing::debug!(code, ?elapsed, "request completed");
        }
    }
}

/// Returns the code in the spelling of the contract.
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
