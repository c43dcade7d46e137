//! What a unit answers to which request.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;

use crate::config::UnitConfig;

/// Where a unit tells who it is. The cloud's own gateways answer their load balancers there.
const STATUS_PATH: &str = "/status-0123456789abcdef";

/// The routes of a unit.
#[derive(Debug)]
pub(crate) struct Routes {
    status: Bytes,
}

/// Who answered.
#[derive(Serialize)]
struct Status<'a> {
    cluster: String,
    service: &'a str,
    region: &'a str,
    unit: String,
    incarnation: u64,
    agent: &'a str,
    pid: u32,
    build: &'a str,
}

/// A problem as of RFC 9457.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
}

impl Routes {
    pub(crate) fn new(config: &UnitConfig) -> Self {
        let status = Status {
            cluster: config.cluster.to_string(),
            service: config.unit.service.as_str(),
            region: config.unit.region.as_str(),
            unit: config.unit.to_string(),
            incarnation: config.incarnation.0,
            agent: config.agent.as_str(),
            pid: std::process::id(),
            build: &config.build,
        };
        Self { status: json(&status) }
    }

    pub(crate) fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let asks = matches!(*request.method(), Method::GET | Method::HEAD);
        if asks && request.uri().path() == STATUS_PATH {
            return response(StatusCode::OK, "application/json", self.status.clone());
        }
        let status = StatusCode::NOT_FOUND;
        let problem = Problem {
            r#type: "about:blank",
            title: "Not Found",
            status: status.as_u16(),
            detail: "no API of this service has that path",
        };
        response(status, "application/problem+json", json(&problem))
    }
}

fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("texts and numbers can be written as JSON").into()
}

fn response(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
