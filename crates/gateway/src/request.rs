//! Handling of one request: by the unit itself, or by the backend of the API that matches the path.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};

use crate::access_log::Entry;
use crate::client_connection::ClientConnection;
use crate::configuration::Configuration;
use crate::forward::{self, Body, ProxyResponse, Route};
use crate::problem::{self, Problem};
use crate::request_record::RequestRecord;
use crate::status::STATUS_PATH;
use crate::worker::Worker;

/// Handles a request of `client` and returns the response.
pub(crate) async fn handle(
    worker: &Worker,
    client: &Arc<ClientConnection>,
    request: Request<Incoming>,
) -> Response<Body> {
    let mut record = RequestRecord::start(client);
    let (parts, body) = request.into_parts();
    let routed = route(worker, client, parts, body, &mut record).await;
    let ProxyResponse { response, tunnel } = routed.unwrap_or_else(|problem| {
        if matches!(problem, Problem::BadRequest(_)) {
            // Further bytes on the connection may be part of this request to other parsers.
            client.close();
        }
        problem.response().map(Body::full).into()
    });
    record.set_status(response.status().as_u16());
    match tunnel {
        Some(tunnel) => {
            tunnel.start(&worker.tunnels, record);
            response
        }
        None => response.map(|body| body.with_record(record)),
    }
}

async fn route(
    worker: &Worker,
    client: &ClientConnection,
    parts: Parts,
    body: Incoming,
    record: &mut RequestRecord,
) -> Result<ProxyResponse, Problem> {
    let route = {
        let configuration = worker.configuration();
        let configuration = configuration.as_ref().ok_or(Problem::Disabled)?;
        record.entry = Entry::new(configuration.access_log, client.peer, &parts);
        if forward::check_framing(&parts, client.framing.take())? {
            client.close();
        }
        let is_read = matches!(parts.method, Method::GET | Method::HEAD);
        if is_read && parts.uri.path() == STATUS_PATH {
            let status = worker.shared.status();
            let status = status.document(client.peer, &parts.headers, worker.shared.is_draining());
            return Ok(problem::ok_response("application/json", status).map(Body::full).into());
        }
        let host = forward::requested_host(&parts, &client.forwarded_headers)?;
        forward::check_path(parts.uri.path())?;
        if !configuration.serves() {
            return redirect(configuration, &parts);
        }
        record.in_flight = Some(configuration.limits.admit(&parts, worker.shared.load())?);
        let api = configuration.route(parts.uri.path()).ok_or(Problem::NoApi)?;
        record.api = Some(Arc::clone(api));
        let (api, via) = (Arc::clone(api), &worker.via);
        Route { api, host, via, client, body_bytes: configuration.limits.body_bytes() }
    };
    let request = Request::from_parts(parts, body);
    forward::forward(&worker.connector, route, request).await
}

/// Redirects a request to a gateway that is disabled, or refuses it.
fn redirect(configuration: &Configuration, parts: &Parts) -> Result<ProxyResponse, Problem> {
    let target = configuration.redirect();
    let response = target.and_then(|target| target.response(&parts.method, &parts.uri));
    Ok(response.ok_or(Problem::Disabled)?.map(Body::full).into())
}
