//! Answering one call: by the unit itself, or by the backend of the API that has the path.

use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};
use serde::Serialize;

use crate::config::UnitConfig;
use crate::configuration::Configuration;
use crate::forward::{self, Body, Held, Route};
use crate::problem::{self, Problem};
use crate::serve::{Caller, Worker};

/// Where a unit tells who it is. The cloud's own gateways answer their load balancers there.
const STATUS_PATH: &str = "/status-0123456789abcdef";

/// What the status path answers.
#[derive(Debug)]
pub(crate) struct Status(Bytes);

/// Who answered.
#[derive(Serialize)]
struct StatusDocument<'a> {
    cluster: String,
    service: &'a str,
    region: &'a str,
    unit: String,
    incarnation: u64,
    agent: &'a str,
    pid: u32,
    build: &'a str,
}

impl Status {
    pub(crate) fn new(config: &UnitConfig) -> Self {
        Self(problem::to_json(&StatusDocument {
            cluster: config.cluster.to_string(),
            service: config.unit.service.as_str(),
            region: config.unit.region.as_str(),
            unit: config.unit.to_string(),
            incarnation: config.incarnation.0,
            agent: config.agent.as_str(),
            pid: std::process::id(),
            build: &config.build,
        }))
    }
}

/// Answers a call of `caller`.
pub(crate) async fn answer(
    worker: &Worker,
    caller: &Arc<Caller>,
    request: Request<Incoming>,
) -> Response<Body> {
    let held = Held { _busy: caller.enter(), in_flight: None };
    let (parts, body) = request.into_parts();
    let answered = match forward::check_framing(&parts, caller.framing.take()) {
        Err(problem) => Err((problem, held)),
        Ok(close) => {
            if close {
                caller.close();
            }
            let asks = matches!(parts.method, Method::GET | Method::HEAD);
            if asks && parts.uri.path() == STATUS_PATH {
                let status = worker.shared.status().0.clone();
                return problem::json("application/json", status).map(|body| body.holding(held));
            }
            route(worker, caller, parts, body, held).await
        }
    };
    answered.unwrap_or_else(|(problem, held)| {
        if matches!(problem, Problem::BadRequest(_)) {
            // What else comes on the connection may be part of the call for others.
            caller.close();
        }
        problem.response().map(|body| body.holding(held))
    })
}

async fn route(
    worker: &Worker,
    caller: &Caller,
    parts: Parts,
    body: Incoming,
    mut held: Held,
) -> Result<Response<Body>, (Problem, Held)> {
    let Some(configuration) = worker.shared.configuration() else {
        return Err((Problem::Disabled, held));
    };
    let host = match admit(worker, &configuration, &parts, &mut held) {
        Ok(host) => host,
        Err(problem) => return Err((problem, held)),
    };
    let uri = parts.uri.clone();
    let Some((api, rest)) = configuration.route(uri.path()) else {
        return Err((Problem::NoApi, held));
    };
    let via = worker.shared.via();
    let body_bytes = configuration.limits.body_bytes();
    let route = Route { api, rest, host, via, caller, body_bytes };
    let request = Request::from_parts(parts, body);
    forward::forward(&worker.connector, &worker.tunnels, route, request, held).await
}

/// Whether a call is taken on; then, which host it is for.
fn admit(
    worker: &Worker,
    configuration: &Configuration,
    parts: &Parts,
    held: &mut Held,
) -> Result<Option<HeaderValue>, Problem> {
    let host = forward::authority(parts)?;
    forward::check_path(parts.uri.path())?;
    if !configuration.enabled {
        return Err(Problem::Disabled);
    }
    held.in_flight = Some(configuration.limits.admit(parts, worker.shared.load())?);
    Ok(host)
}
