//! Answering one call: by the unit itself, or by the backend of the API that has the path.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};

use crate::access_log::Entry;
use crate::account::Account;
use crate::caller::{Caller, Told};
use crate::configuration::Configuration;
use crate::forward::{self, Answered, Body, Route};
use crate::problem::{self, Problem};
use crate::status::STATUS_PATH;
use crate::worker::Worker;

/// Answers a call of `caller`.
pub(crate) async fn answer(
    worker: &Worker,
    caller: &Arc<Caller>,
    request: Request<Incoming>,
) -> Response<Body> {
    let mut account = Account::open(caller);
    let (parts, body) = request.into_parts();
    let answered = route(worker, caller, parts, body, &mut account).await;
    let Answered { response, tunnel } = answered.unwrap_or_else(|problem| {
        if matches!(problem, Problem::BadRequest(_)) {
            // What else comes on the connection may be part of the call for others.
            caller.close();
        }
        problem.response().map(Body::whole).into()
    });
    account.answered(response.status().as_u16());
    match tunnel {
        Some(tunnel) => {
            tunnel.start(&worker.tunnels, account);
            response
        }
        None => response.map(|body| body.counted_by(account)),
    }
}

async fn route(
    worker: &Worker,
    caller: &Caller,
    parts: Parts,
    body: Incoming,
    account: &mut Account,
) -> Result<Answered, Problem> {
    let route = {
        let configuration = worker.configuration();
        let configuration = configuration.as_ref().ok_or(Problem::Disabled)?;
        account.entry = Entry::new(configuration.access_log, caller.peer, &parts);
        if forward::check_framing(&parts, caller.framing.take())? {
            caller.close();
        }
        let asks = matches!(parts.method, Method::GET | Method::HEAD);
        if asks && parts.uri.path() == STATUS_PATH {
            let status = worker.shared.status().document();
            return Ok(problem::json("application/json", status).map(Body::whole).into());
        }
        let host = admit(worker, configuration, &parts, account, &caller.told)?;
        let api = configuration.route(parts.uri.path()).ok_or(Problem::NoApi)?;
        account.api = Some(Arc::clone(api));
        let (api, via) = (Arc::clone(api), &worker.via);
        Route { api, host, via, caller, body_bytes: configuration.limits.body_bytes() }
    };
    let request = Request::from_parts(parts, body);
    forward::forward(&worker.connector, route, request).await
}

/// Whether a call is taken on; then, which host it is for.
fn admit(
    worker: &Worker,
    configuration: &Configuration,
    parts: &Parts,
    account: &mut Account,
    told: &Told,
) -> Result<Option<HeaderValue>, Problem> {
    let host = forward::authority(parts, told)?;
    forward::check_path(parts.uri.path())?;
    if !configuration.enabled {
        return Err(Problem::Disabled);
    }
    account.in_flight = Some(configuration.limits.admit(parts, worker.shared.load())?);
    Ok(host)
}
