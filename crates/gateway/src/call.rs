//! Answering one call: by the unit itself, or by the backend of the API that has the path.

use std::net::IpAddr;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use serde::Serialize;

use crate::config::UnitConfig;
use crate::forward::{self, Body, Connector, Route};
use crate::problem::{self, Problem};
use crate::shared::Shared;

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

/// Answers a call of `peer`.
pub(crate) async fn answer(
    shared: &Shared,
    connector: &Connector,
    peer: IpAddr,
    request: Request<Incoming>,
) -> Response<Body> {
    let asks = matches!(*request.method(), Method::GET | Method::HEAD);
    if asks && request.uri().path() == STATUS_PATH {
        return problem::json("application/json", shared.status().0.clone());
    }
    match route(shared, connector, peer, request).await {
        Ok(response) => response,
        Err(problem) => problem.response(),
    }
}

async fn route(
    shared: &Shared,
    connector: &Connector,
    peer: IpAddr,
    request: Request<Incoming>,
) -> Result<Response<Body>, Problem> {
    let call = shared.load().enter();
    let (parts, body) = request.into_parts();
    let host = forward::authority(&parts)?;
    let configuration = shared.configuration().ok_or(Problem::Disabled)?;
    if !configuration.enabled {
        return Err(Problem::Disabled);
    }
    let uri = parts.uri.clone();
    let path = uri.path();
    forward::check_path(path)?;
    let (api, rest) = configuration.route(path).ok_or(Problem::NoApi)?;
    let route = Route { api, rest, host, peer };
    forward::forward(connector, route, Request::from_parts(parts, body), call).await
}
