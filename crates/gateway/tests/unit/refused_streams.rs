//! HTTP/2 backends that refuse requests or close connections with requests in flight.

use h2::Reason;
use meridian_proto::v1::unit_response::Response as ControlResponse;
use tokio::task::spawn_blocking;

use crate::control;
use crate::http2_support::{Backend, Http2Client, Http2Response, goaway_after, serving};
use crate::support::{Running, api, configuration};

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_is_sent_over_another_connection_whatever_its_method() {
    let backend = Backend::start(|mut exchange| async move {
        match (exchange.path(), exchange.connection) {
            ("/refused", 1) | ("/always", _) => {
                exchange.responder.send_reset(Reason::REFUSED_STREAM)
            }
            ("/broken", _) => exchange.responder.send_reset(Reason::INTERNAL_ERROR),
            _ => exchange.respond("ok"),
        }
    })
    .await;
    let unit = serving(&backend);
    let client = Http2Client::connect(&unit).await;
    for (method, path, status, requests) in [
        ("GET", "/", 200, 1),
        ("POST", "/refused", 200, 2),
        ("GET", "/always", 502, 2),
        ("POST", "/broken", 502, 1),
        ("GET", "/broken", 502, 2),
        ("POST", "/", 200, 1),
    ] {
        let before = backend.requests();
        let response = client.request(method, path).await;
        assert_eq!(response.status, status, "{method} {path}: {response:?}");
        assert_eq!(backend.requests() - before, requests, "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_lost_when_the_backend_closes_connections_one_after_another() {
    let backend =
        Backend::limited(None, Some(3), |exchange| async { exchange.respond("ok") }).await;
    let unit = serving(&backend);
    let client = Http2Client::connect(&unit).await;
    for method in ["GET", "POST"].repeat(20) {
        assert_eq!(client.request(method, "/").await.status, 200);
    }
    let mut requests = Vec::new();
    for _ in 0..80 {
        requests.push(tokio::spawn(Http2Response::receive(client.begin("POST", "/").await)));
    }
    for request in requests {
        let response = request.await.unwrap();
        assert_eq!(response.status, 200, "{response:?}");
    }
    assert!(backend.connections() > 10, "{}", backend.connections());
}

/// Runs on one thread, like a worker: see `is_refused` in the unit's `retry.rs`.
#[tokio::test]
async fn requests_that_a_backend_did_not_process_before_goaway_are_sent_again() {
    for processed in 1..=3 {
        let mut patient = api("/", goaway_after(processed));
        patient.response_timeout_ms = 10_000;
        let unit = Running::waiting();
        let (directory, configuration) =
            (unit.directory.path().to_owned(), configuration(1, vec![patient]));
        let configured = spawn_blocking(move || control::configure(&directory, configuration));
        assert!(matches!(configured.await.unwrap(), ControlResponse::Configured(_)));
        let client = Http2Client::connect(&unit).await;
        let mut requests = Vec::new();
        for _ in 0..3 {
            requests.push(tokio::spawn(Http2Response::receive(client.begin("POST", "/").await)));
        }
        let mut failed = 0;
        for request in requests {
            let response = request.await.unwrap();
            assert!(matches!(response.status, 200 | 502), "{response:?}");
            failed += u32::from(response.status == 502);
        }
        // The backend responded to the first request; it may have processed the others up to
        // `processed`.
        assert_eq!(failed, processed - 1);
    }
}
