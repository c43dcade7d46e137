//! Forwarding a call to its backend.

use std::io;
use std::sync::Arc;

use hyper::body::{Body as _, Incoming};
use hyper::client::conn::TrySendError;
use hyper::header::UPGRADE;
use hyper::{Request, Response, StatusCode, Version};
use tokio::time::timeout;

use crate::backends::{ConnectError, Connector, Form, Lease, Progress, Upload};
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
pub(crate) use target::{authority, check_path};
pub(crate) use upgrade::{Tunnel, Tunnels};

/// An answer.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) response: Response<Body>,
    /// What begins after it, where it has the connection leave HTTP.
    pub(crate) tunnel: Option<Tunnel>,
}

impl From<Response<Body>> for Answered {
    fn from(response: Response<Body>) -> Self {
        Self { response, tunnel: None }
    }
}

/// Forwards a call and returns the backend's answer, whose body still flows.
pub(crate) async fn forward(
    connector: &Connector,
    route: Route<'_>,
    request: Request<Incoming>,
) -> Result<Answered, Problem> {
    let api = &*route.api;
    let Prepared { request, form, progress, upgrade } = prepare(&route, request)?;
    let only_http1 = upgrade.is_some();
    let forwarding = Forwarding { connector, api, form, progress, only_http1 };
    let (mut response, lease) = forwarding.run(request).await?;
    let (idle, version) = (api.timeouts.idle, response.version());
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let protocol = response.headers().get(UPGRADE).cloned();
        let (upgrade, protocol) = upgrade.zip(protocol).ok_or(Problem::BackendFailed)?;
        headers::prepare_answer(response.headers_mut(), version, route.via);
        let tunnel = upgrade.agreed(&mut response, protocol, idle);
        return Ok(Answered { response: response.map(|_| Body::empty()), tunnel: Some(tunnel) });
    }
    headers::prepare_answer(response.headers_mut(), version, route.via);
    // The version concerns the backend's connection; else the caller's would have to end too.
    *response.version_mut() = Version::HTTP_11;
    Ok(response.map(|incoming| Body::flowing(Download::new(incoming, idle, lease))).into())
}

/// A call as its backend is to get it.
struct Prepared {
    request: Request<Upload>,
    form: Form,
    progress: Option<Arc<Progress>>,
    upgrade: Option<Upgrade>,
}

/// Makes a call what its backend is to get.
fn prepare(route: &Route<'_>, request: Request<Incoming>) -> Result<Prepared, Problem> {
    let (mut parts, body) = request.into_parts();
    if route.via.returns(&parts.headers) {
        return Err(Problem::Loop);
    }
    if body.size_hint().lower() > route.body_bytes {
        return Err(Problem::BodyTooLarge);
    }
    let (upload, progress) = Upload::new(body, route.body_bytes);
    let upgrade = if progress.is_none() { Upgrade::wished(&mut parts) } else { None };
    let form = headers::prepare(&mut parts, route);
    if let Some(upgrade) = &upgrade {
        upgrade.ask(&mut parts.headers);
    }
    parts.uri = target::target(&route.api, &parts.uri)?;
    parts.version = Version::HTTP_11;
    route.caller.limit_writes(route.api.timeouts.idle);
    Ok(Prepared { request: Request::from_parts(parts, upload), form, progress, upgrade })
}

/// A call on its way to a backend.
struct Forwarding<'a> {
    connector: &'a Connector,
    api: &'a Api,
    form: Form,
    progress: Option<Arc<Progress>>,
    /// Whether it has to go by HTTP/1.1.
    only_http1: bool,
}

impl Forwarding<'_> {
    /// Sends the call, on a connection that is open already where there is one.
    async fn run(
        &self,
        mut request: Request<Upload>,
    ) -> Result<(Response<Incoming>, Lease), Problem> {
        let (connector, origin) = (self.connector, &self.api.origin);
        let mut lease = match connector.open(origin, self.only_http1).await {
            Some(lease) => lease,
            None => self.connected(connector.join(origin, self.only_http1)).await?,
        };
        loop {
            let copy = if lease.is_new() { None } else { retry::copy(&request, &lease) };
            let failed = match self.exchange(&mut lease, request).await {
                Ok(response) => return Ok((response, lease)),
                Err(failed) => failed,
            };
            let mut open = None;
            request = match failed {
                Failed::Problem(problem) => return Err(problem),
                _ if lease.is_new() => return Err(Problem::BackendFailed),
                Failed::Unsent(unsent) => {
                    open = connector.open(origin, self.only_http1).await;
                    *unsent
                }
                Failed::Refused => copy.ok_or(Problem::BackendFailed)?.request,
                Failed::Broken => {
                    copy.filter(|copy| copy.is_idempotent).ok_or(Problem::BackendFailed)?.request
                }
            };
            lease = match open {
                Some(lease) => lease,
                None => self.connected(connector.connect(origin, self.only_http1)).await?,
            };
        }
    }

    /// What comes of `connecting`, in time.
    async fn connected(
        &self,
        connecting: impl Future<Output = Result<Lease, ConnectError>>,
    ) -> Result<Lease, Problem> {
        let (trouble, limit) = (&self.api.origin.trouble, self.api.timeouts.connect);
        // On the heap, because few calls need it and each would carry its size around.
        match timeout(limit, Box::pin(connecting)).await {
            Ok(Ok(lease)) => Ok(lease),
            Ok(Err(error)) => {
                trouble.tell(&self.api.name, &*error);
                Err(Problem::BackendFailed)
            }
            Err(_) => {
                let late = format!("there was no connection within {limit:?}");
                trouble.tell(&self.api.name, &io::Error::other(late));
                Err(Problem::BackendTimeout)
            }
        }
    }

    /// Sends `request` over `lease`, and waits for the head of the answer.
    async fn exchange(
        &self,
        lease: &mut Lease,
        request: Request<Upload>,
    ) -> Result<Response<Incoming>, Failed> {
        let timeouts = &self.api.timeouts;
        let sent = lease.send(request, self.form, self.progress.clone());
        let answered = match &self.progress {
            None => timeout(timeouts.response, sent).await,
            // The time-out for the answer begins with the end of the call.
            Some(progress) => {
                tokio::pin!(sent);
                tokio::select! {
                    biased;
                    answered = &mut sent => Ok(answered),
                    stalled = progress.uploaded(timeouts.idle) => match stalled {
                        Ok(()) => timeout(timeouts.response, sent).await,
                        Err(problem) => {
                            // Where it is the caller that stands still, the connection is as good
                            // for others as before.
                            if problem == Problem::BackendTimeout {
                                lease.distrust();
                            }
                            return Err(problem.into());
                        }
                    },
                }
            }
        };
        match answered {
            Ok(answered) => answered.map_err(|error| self.failed(lease, error)),
            Err(_) => {
                lease.distrust();
                Err(Problem::BackendTimeout.into())
            }
        }
    }

    fn failed(&self, lease: &Lease, mut error: TrySendError<Request<Upload>>) -> Failed {
        if let Some(request) = error.take_message() {
            return Failed::Unsent(Box::new(request));
        }
        let error = error.into_error();
        if let Some(problem) = self.progress.as_ref().and_then(|progress| progress.fault()) {
            return problem.into();
        }
        tracing::debug!(api = self.api.name, %error, "a backend failed");
        if retry::is_refused(&error) {
            return Failed::Refused;
        }
        if lease.has_heard() { Problem::BackendFailed.into() } else { Failed::Broken }
    }
}

/// Why an exchange failed.
enum Failed {
    /// The connection had ended before anything of the call was sent.
    Unsent(Box<Request<Upload>>),
    /// The backend said that it has not looked at the call, and will not.
    Refused,
    /// The connection ended before anything of an answer came.
    Broken,
    /// For good.
    Problem(Problem),
}

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}
