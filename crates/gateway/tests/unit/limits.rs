use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http_body_util::Full;
use hyper::Response;
use meridian_proto::v1::{GatewayConfiguration, GatewayLimits};
use tokio::sync::Semaphore;

use crate::backend::{Backend, raw};
use crate::control::identity;
use crate::support::{Client, Running, api, configuration, eventually};

fn limited(backend: &Backend, limits: GatewayLimits) -> GatewayConfiguration {
    let apis = vec![api("/", backend.url(""))];
    GatewayConfiguration { limits: Some(limits), ..configuration(1, apis) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_over_the_concurrency_limit_is_rejected_immediately() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let backend = Backend::start(move |_| {
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.unwrap().forget();
            Response::new(Full::from("done"))
        }
    })
    .await;
    let limits = GatewayLimits { concurrent_requests: 2, ..Default::default() };
    let mut configuration = limited(&backend, limits);
    configuration.apis[0].response_timeout_ms = 20_000;
    let unit = Running::serving(configuration);
    let mut clients: Vec<Client> = (0..2).map(|_| Client::connect(unit.address).unwrap()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    }
    eventually("two requests are in flight", || identity(&unit).load.unwrap().in_flight == 2);
    let mut surplus = Client::connect(unit.address).unwrap();
    let refused = surplus.request("GET", "/").unwrap();
    assert_eq!(refused.problem().0, 503);
    assert_eq!(refused.headers("retry-after"), ["1"]);
    assert_eq!(surplus.request("GET", "/status-0123456789abcdef").unwrap().status(), 200);
    opened.add_permits(3);
    for client in &mut clients {
        assert_eq!(client.receive().unwrap().body, "done");
    }
    eventually("no request is in flight", || identity(&unit).load.unwrap().in_flight == 0);
    assert_eq!(surplus.request("GET", "/").unwrap().body, "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_over_the_rate_limit_get_retry_after() {
    let backend = Backend::echo().await;
    let limits = GatewayLimits { requests_per_second: 5, ..Default::default() };
    let unit = Running::serving(limited(&backend, limits));
    let mut client = Client::connect(unit.address).unwrap();
    let responses: Vec<_> = (0..30).map(|_| client.request("GET", "/").unwrap()).collect();
    assert!(responses[..5].iter().all(|response| response.status() == 200), "{responses:?}");
    let refused = responses.iter().find(|response| response.status() != 200).unwrap();
    assert_eq!(refused.problem().0, 429);
    assert_eq!(refused.headers("retry-after"), ["1"]);
    eventually("a request is admitted again", || {
        client.request("GET", "/").unwrap().status() == 200
    });
    // A new configuration with the same rate does not allow a new burst.
    while client.request("GET", "/").unwrap().status() == 200 {}
    unit.configure(GatewayConfiguration { revision: 2, ..limited(&backend, limits) });
    let burst = (0..3).map(|_| client.request("GET", "/").unwrap().status());
    assert!(burst.into_iter().any(|status| status == 429));
}

#[tokio::test(flavor = "multi_thread")]
async fn request_heads_and_bodies_that_are_too_large_are_rejected() {
    let backend = Backend::echo().await;
    let limits = GatewayLimits { header_bytes: 200, body_bytes: 10, ..Default::default() };
    let unit = Running::serving(limited(&backend, limits));
    let long = "x".repeat(200);
    let chunks = "5\r\n12345\r\n6\r\n678901\r\n0\r\n\r\n";
    let cases = [
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"), 431),
        (format!("GET /?{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 431),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n1234567890".to_owned(), 200),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n12345678901".to_owned(), 413),
        (format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"), 413),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_owned(), 400),
    ];
    for (request, status) in cases {
        let mut client = Client::connect(unit.address).unwrap();
        client.send(&request).unwrap();
        let response = client.receive().unwrap();
        assert_eq!(response.status(), status, "{request}: {response:?}");
        if status != 200 {
            response.problem();
        }
        let mut next = Client::connect(unit.address).unwrap();
        assert_eq!(next.request("GET", "/").unwrap().status(), 200, "after {request}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stalls_in_its_body_gets_a_request_timeout() {
    let backend = Backend::echo().await;
    let unit = Running::serving(limited(&backend, GatewayLimits::default()));
    let mut client = Client::connect(unit.address).unwrap();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n123").unwrap();
    assert_eq!(client.receive().unwrap().problem().0, 408);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_but_steady_body_arrives() {
    let backend = Backend::echo().await;
    let mut configuration = limited(&backend, GatewayLimits::default());
    configuration.apis[0].idle_timeout_ms = 200;
    configuration.apis[0].response_timeout_ms = 300;
    let unit = Running::serving(configuration);
    let mut client = Client::connect(unit.address).unwrap();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n").unwrap();
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(60));
        client.send("x").unwrap();
    }
    assert!(client.receive().unwrap().body.ends_with("\n\nxxxxxxxxxx"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_header_timeout_does_not_run_between_requests() {
    let unit = Running::start();
    let mut client = Client::connect(unit.address).unwrap();
    let path = "/status-0123456789abcdef";
    assert_eq!(client.request("GET", path).unwrap().status(), 200);
    assert!(client.stays_silent(Duration::from_millis(700)));
    assert_eq!(client.request("GET", path).unwrap().status(), 200);
    client.send("GET /").unwrap();
    assert!(client.is_ended());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_its_response_is_disconnected() {
    let url = raw(|stream, _| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").unwrap();
        while stream.write_all(&[b'x'; 65536]).is_ok() {}
    });
    let unit = Running::serving(configuration(1, vec![api("/", url)]));
    let mut client = Client::connect(unit.address).unwrap();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    eventually("the request is in flight", || identity(&unit).load.unwrap().in_flight == 1);
    eventually("the request was aborted", || identity(&unit).load.unwrap().in_flight == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_arrives_before_the_body_was_read_is_forwarded() {
    let url = raw(|stream, _| {
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").unwrap();
    });
    let good = Backend::echo().await;
    let apis = vec![api("/early", url), api("/good", good.url(""))];
    let unit = Running::serving(configuration(1, apis));
    let mut client = Client::connect(unit.address).unwrap();
    client.send("POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12").unwrap();
    let response = client.receive().unwrap();
    assert_eq!((response.status(), response.body.as_str()), (403, "no"));
    let mut next = Client::connect(unit.address).unwrap();
    assert_eq!(next.request("GET", "/good").unwrap().status(), 200);
    assert_eq!(good.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_keeps_sending_a_rejected_body_is_disconnected() {
    let unit = Running::start();
    let mut client = Client::connect(unit.address).unwrap();
    let length = u64::MAX / 2;
    client
        .send(&format!("POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"))
        .unwrap();
    let mut writer = client.duplicate();
    let writing = std::thread::spawn(move || while writer.write_all(&[b'x'; 65536]).is_ok() {});
    assert_eq!(client.receive().unwrap().problem().0, 404);
    eventually("sending fails", || writing.is_finished());
}
