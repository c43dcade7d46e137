//! Forwarding of a request to its backend.

use std::io;
use std::sync::Arc;

use hyper::body::{Body as _, Incoming};
use hyper::client::conn::TrySendError;
use hyper::header::UPGRADE;
use hyper::{Request, Response, StatusCode, Version};
use tokio::time::timeout;

use crate::backends::{ConnectError, Connector, ConvertOptions, Lease, Progress, Upload};
use crate::configuration::Api;
use crate::problem::Problem;
use body::Download;
use upgrade::Upgrade;

mod body;
mod framing;
mod headers;
mod retry;
mod route;
mod target;
mod trace;
mod upgrade;

pub(crate) use body::Body;
pub(crate) use framing::check_framing;
pub(crate) use route::Route;
pub(crate) use target::{check_path, requested_host};
pub(crate) use upgrade::{Tunnel, Tunnels};

/// Response to a client, and the tunnel that follows it.
#[derive(Debug)]
pub(crate) struct ProxyResponse {
    pub(crate) response: Response<Body>,
    /// Tunnel that starts after the response, if the response upgrades the connection.
    pub(crate) tunnel: Option<Tunnel>,
}

impl From<Response<Body>> for ProxyResponse {
    fn from(response: Response<Body>) -> Self {
        Self { response, tunnel: None }
    }
}

/// Forwards a request and returns the backend's response, whose body is still streaming.
pub(crate) async fn forward(
    connector: &Connector,
    route: Route<'_>,
    request: Request<Incoming>,
) -> Result<ProxyResponse, Problem> {
    let api = &*route.api;
    let Prepared { request, options, progress, upgrade } = prepare(&route, request)?;
    let only_http1 = upgrade.is_some();
    let forwarding = Forwarding { connector, api, options, progress, only_http1 };
    let (mut response, lease) = forwarding.run(request).await?;
    let (idle, version) = (api.timeouts.idle, response.version());
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let protocol = response.headers().get(UPGRADE).cloned();
        let (upgrade, protocol) = upgrade.zip(protocol).ok_or(Problem::BackendFailed)?;
        headers::prepare_response(response.headers_mut(), version, route.via);
        let tunnel = upgrade.accept(&mut response, protocol, idle);
        return Ok(ProxyResponse {
            response: response.map(|_| Body::empty()),
            tunnel: Some(tunnel),
        });
    }
    headers::prepare_response(response.headers_mut(), version, route.via);
    // The version belongs to the connection to the backend. If it were kept, a backend that
    // responds in HTTP/1.0 would end the client's connection too.
    *response.version_mut() = Version::HTTP_11;
    Ok(response.map(|incoming| Body::streaming(Download::new(incoming, idle, lease))).into())
}

/// A request in the form that its backend receives.
struct Prepared {
    request: Request<Upload>,
    options: ConvertOptions,
    progress: Option<Arc<Progress>>,
    upgrade: Option<Upgrade>,
}

/// Converts a request to the form that its backend receives.
fn prepare(route: &Route<'_>, request: Request<Incoming>) -> Result<Prepared, Problem> {
    let (mut parts, body) = request.into_parts();
    if route.via.is_loop(&parts.headers) {
        return Err(Problem::Loop);
    }
    if body.size_hint().lower() > route.body_bytes {
        return Err(Problem::BodyTooLarge);
    }
    let (upload, progress) = Upload::new(body, route.body_bytes);
    let upgrade = if progress.is_none() { Upgrade::from_request(&mut parts) } else { None };
    let options = headers::prepare_request(&mut parts, route);
    if let Some(upgrade) = &upgrade {
        upgrade.add_to(&mut parts.headers);
    }
    parts.uri = target::backend_target(&route.api, &parts.uri)?;
    parts.version = Version::HTTP_11;
    route.client.set_write_timeout(route.api.timeouts.idle);
    Ok(Prepared { request: Request::from_parts(parts, upload), options, progress, upgrade })
}

/// A request that is being forwarded.
struct Forwarding<'a> {
    connector: &'a Connector,
    api: &'a Api,
    options: ConvertOptions,
    progress: Option<Arc<Progress>>,
    /// True if the request requires HTTP/1.1.
    only_http1: bool,
}

impl Forwarding<'_> {
    /// Sends the request, over an open connection if there is one.
    async fn run(
        &self,
        mut request: Request<Upload>,
    ) -> Result<(Response<Incoming>, Lease), Problem> {
        let (connector, origin) = (self.connector, &self.api.origin);
        let mut lease = match connector.checkout(origin, self.only_http1).await {
            Some(lease) => lease,
            None => self.connect(connector.dial_or_wait(origin, self.only_http1)).await?,
        };
        loop {
            let copy = if lease.is_new() { None } else { retry::copy(&request, &lease) };
            let error = match self.exchange(&mut lease, request).await {
                Ok(response) => return Ok((response, lease)),
                Err(error) => error,
            };
            let mut open = None;
            request = match error {
                ExchangeError::Problem(problem) => return Err(problem),
                _ if lease.is_new() => return Err(Problem::BackendFailed),
                ExchangeError::NotSent(request) => {
                    open = connector.checkout(origin, self.only_http1).await;
                    *request
                }
                ExchangeError::Refused => copy.ok_or(Problem::BackendFailed)?.request,
                ExchangeError::Disconnected => {
                    copy.filter(|copy| copy.is_idempotent).ok_or(Problem::BackendFailed)?.request
                }
            };
            lease = match open {
                Some(lease) => lease,
                None => self.connect(connector.dial(origin, self.only_http1)).await?,
            };
        }
    }

    /// Awaits `connecting` within the connect timeout, and logs failures.
    async fn connect(
        &self,
        connecting: impl Future<Output = Result<Lease, ConnectError>>,
    ) -> Result<Lease, Problem> {
        let (error_log, limit) = (&self.api.origin.error_log, self.api.timeouts.connect);
        // Boxed, because few requests need it and every request would carry its size.
        match timeout(limit, Box::pin(connecting)).await {
            Ok(Ok(lease)) => Ok(lease),
            Ok(Err(error)) => {
                error_log.record(&self.api.name, &*error);
                Err(Problem::BackendFailed)
            }
            Err(_) => {
                let timed_out = format!("connect timeout of {limit:?} exceeded");
                error_log.record(&self.api.name, &io::Error::other(timed_out));
                Err(Problem::BackendTimeout)
            }
        }
    }

    /// Sends `request` over `lease` and waits for the head of the response.
    async fn exchange(
        &self,
        lease: &mut Lease,
        request: Request<Upload>,
    ) -> Result<Response<Incoming>, ExchangeError> {
        let timeouts = &self.api.timeouts;
        let sending = lease.send(request, self.options, self.progress.clone());
        let received = match &self.progress {
            None => timeout(timeouts.response, sending).await,
            // The response timeout starts at the end of the request.
            Some(progress) => {
                tokio::pin!(sending);
                tokio::select! {
                    biased;
                    received = &mut sending => Ok(received),
                    uploaded = progress.uploaded(timeouts.idle) => match uploaded {
                        Ok(()) => timeout(timeouts.response, sending).await,
                        Err(problem) => {
                            // If it is the client that stalls, the connection remains usable for
                            // other requests.
                            if problem == Problem::BackendTimeout {
                                lease.retire();
                            }
                            return Err(problem.into());
                        }
                    },
                }
            }
        };
        match received {
            Ok(received) => received.map_err(|error| self.classify(lease, error)),
            Err(_) => {
                lease.retire();
                Err(Problem::BackendTimeout.into())
            }
        }
    }

    fn classify(&self, lease: &Lease, mut error: TrySendError<Request<Upload>>) -> ExchangeError {
        if let Some(request) = error.take_message() {
            return ExchangeError::NotSent(Box::new(request));
        }
        let error = error.into_error();
        if let Some(problem) = self.progress.as_ref().and_then(|progress| progress.error()) {
            return problem.into();
        }
        tracing::debug!(api = self.api.name, %error, "request to a backend failed");
        if retry::is_refused(&error) {
            return ExchangeError::Refused;
        }
        if lease.has_received() {
            Problem::BackendFailed.into()
        } else {
            ExchangeError::Disconnected
        }
    }
}

/// Error of one attempt to send a request.
enum ExchangeError {
    /// The connection ended before any of the request was sent.
    NotSent(Box<Request<Upload>>),
    /// The backend reported that it did not process the request and will not.
    Refused,
    /// The connection ended before any of the response arrived.
    Disconnected,
    /// The request must not be retried.
    Problem(Problem),
}

impl From<Problem> for ExchangeError {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}
