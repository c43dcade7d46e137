//! Forwarding a call to its backend.

use std::sync::Arc;

use hyper::body::{Body as _, Incoming};
use hyper::client::conn::TrySendError;
use hyper::header::{HeaderValue, UPGRADE};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode, Version};
use tokio::time::timeout;

use crate::configuration::Api;
use crate::problem::Problem;
use crate::serve::Caller;

mod body;
mod connect;
mod framing;
mod headers;
mod origin;
mod retry;
mod target;
mod told;
mod trace;
mod upgrade;
mod upload;
mod via;

pub(crate) use body::Body;
pub(crate) use connect::Connector;
pub(crate) use framing::check_framing;
pub(crate) use origin::Origin;
pub(crate) use target::{authority, check_path};
pub(crate) use told::Told;
pub(crate) use upgrade::{Tunnel, Tunnels};
pub(crate) use via::Via;

use body::Download;
use origin::Lease;
use upgrade::Upgrade;
use upload::{Progress, Upload};

/// What a call is forwarded with.
#[derive(Debug)]
pub(crate) struct Route<'a> {
    pub(crate) api: Arc<Api>,
    /// The host that the caller asked for.
    pub(crate) host: Option<HeaderValue>,
    /// What this unit adds to `Via`.
    pub(crate) via: &'a Via,
    /// Who called.
    pub(crate) caller: &'a Caller,
    /// The longest body that the call may have, in bytes.
    pub(crate) body_bytes: u64,
}

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

/// A call on its way to a backend.
struct Forwarding<'a> {
    connector: &'a Connector,
    api: &'a Api,
    progress: Option<Arc<Progress>>,
}

/// Forwards a call and returns the backend's answer, whose body still flows.
pub(crate) async fn forward(
    connector: &Connector,
    route: Route<'_>,
    request: Request<Incoming>,
) -> Result<Answered, Problem> {
    let api = &*route.api;
    let (parts, upload, progress, upgrade) = prepare(&route, request)?;
    let forwarding = Forwarding { connector, api, progress };
    let (mut response, lease) = forwarding.run(parts, upload).await?;
    let idle = api.timeouts.idle;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let protocol = response.headers().get(UPGRADE).cloned();
        let (upgrade, protocol) = upgrade.zip(protocol).ok_or(Problem::BackendFailed)?;
        headers::prepare_answer(response.headers_mut(), route.via);
        let tunnel = upgrade.agreed(&mut response, protocol, idle);
        return Ok(Answered { response: response.map(|_| Body::empty()), tunnel: Some(tunnel) });
    }
    headers::prepare_answer(response.headers_mut(), route.via);
    // The version concerns the backend's connection; else the caller's would have to end too.
    *response.version_mut() = Version::HTTP_11;
    Ok(response.map(|incoming| Body::flowing(Download::new(incoming, idle, lease))).into())
}

type Prepared = (Parts, Upload, Option<Arc<Progress>>, Option<Upgrade>);

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
    headers::prepare(&mut parts, route, progress.is_some());
    if let Some(upgrade) = &upgrade {
        upgrade.ask(&mut parts.headers);
    }
    parts.uri = target::target(&route.api, &parts.uri)?;
    parts.version = Version::HTTP_11;
    route.caller.limit_writes(route.api.timeouts.idle);
    Ok((parts, upload, progress, upgrade))
}

impl Forwarding<'_> {
    /// Sends the call, on a connection that is open already where there is one.
    async fn run(
        &self,
        parts: Parts,
        upload: Upload,
    ) -> Result<(Response<Incoming>, Lease), Problem> {
        let mut request = Request::from_parts(parts, upload);
        while let Some(mut lease) = self.connector.idle(&self.api.origin).await {
            let copy = retry::copy(&request);
            match self.exchange(&mut lease, request).await {
                Ok(response) => return Ok((response, lease)),
                Err(Failed::Unsent(unsent)) => request = *unsent,
                // The backend may close a connection while a call is on its way there. Once more, and
                // not on another such connection: a call that ends them must not end them all.
                Err(Failed::Broken) => {
                    request = copy.ok_or(Problem::BackendFailed)?;
                    break;
                }
                Err(Failed::Problem(problem)) => return Err(problem),
            }
        }
        // On the heap, because few calls need it and each would carry its size around.
        let connecting = Box::pin(self.connector.connect(&self.api.origin));
        let mut lease = match timeout(self.api.timeouts.connect, connecting).await {
            Ok(Ok(lease)) => lease,
            Ok(Err(error)) => {
                tracing::debug!(api = self.api.name, %error, "a backend cannot be reached");
                return Err(Problem::BackendFailed);
            }
            Err(_) => return Err(Problem::BackendTimeout),
        };
        match self.exchange(&mut lease, request).await {
            Ok(response) => Ok((response, lease)),
            Err(Failed::Problem(problem)) => Err(problem),
            Err(Failed::Unsent(_) | Failed::Broken) => Err(Problem::BackendFailed),
        }
    }

    /// Sends `request` over `lease`, and waits for the head of the answer.
    async fn exchange(
        &self,
        lease: &mut Lease,
        request: Request<Upload>,
    ) -> Result<Response<Incoming>, Failed> {
        let timeouts = &self.api.timeouts;
        let sent = lease.send(request, self.progress.clone());
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
                        Err(problem) => return Err(problem.into()),
                    },
                }
            }
        };
        let answered = answered.map_err(|_| Failed::Problem(Problem::BackendTimeout))?;
        answered.map_err(|error| self.failed(error))
    }

    fn failed(&self, mut error: TrySendError<Request<Upload>>) -> Failed {
        if let Some(request) = error.take_message() {
            return Failed::Unsent(Box::new(request));
        }
        let error = error.into_error();
        if let Some(problem) = self.progress.as_ref().and_then(|progress| progress.fault()) {
            return problem.into();
        }
        tracing::debug!(api = self.api.name, %error, "a backend failed");
        // Where something came back that is no HTTP, sending again would be pointless.
        if error.is_parse() { Problem::BackendFailed.into() } else { Failed::Broken }
    }
}

/// Why an exchange failed.
enum Failed {
    /// The connection had ended before anything of the call was sent.
    Unsent(Box<Request<Upload>>),
    /// The connection ended before the answer's head was complete.
    Broken,
    /// For good.
    Problem(Problem),
}

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}
