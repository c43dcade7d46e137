#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

use std::time::Duration;

use hyper::StatusCode;

use super::*;

const ANY: &str = "127.0.0.1:0";

async fn backend() -> Backend {
    Backend::start(ANY.parse().unwrap()).await.unwrap()
}

async fn faulty(fault: Fault) -> FaultyServer {
    FaultyServer::start(ANY.parse().unwrap(), fault).await.unwrap()
}

/// Sends ten requests of one client to a faulty server.
async fn ten(fault: Fault) -> (Counts, u64) {
    let server = faulty(fault).await;
    let plan = Plan::get(server.address(), "/").requests(10);
    let plan =
        Plan { expected_body: Some(pattern(1_000)), timeout: Duration::from_millis(100), ..plan };
    (Load::start(plan).finish().await, server.requests())
}

#[track_caller]
fn assert_all_failed(counts: &Counts, kind: FailureKind) {
    let (all, of_kind) = (counts.requests(), counts.failed_by(kind));
    assert_eq!((all, counts.successes, of_kind), (10, 0, 10), "{counts}");
}

#[tokio::test]
async fn bodies_of_all_sizes_are_transferred_completely() {
    let backend = backend().await;
    let mut requests = 0;
    for bytes in [0, 1_000, 100_000, 1_000_000] {
        for plan in
            [Plan::download(backend.address(), "", bytes), Plan::echo(backend.address(), "", bytes)]
        {
            let plan = plan.connections(2).requests(20);
            for plan in [plan.clone(), plan.clone().without_keep_alive(), plan.http2(3)] {
                let text = format!("{plan:?}").chars().take(200).collect::<String>();
                let counts = Load::start(plan).finish().await;
                assert_eq!((counts.successes, counts.failed()), (20, 0), "{text}: {counts}");
                requests += 20;
            }
        }
    }
    assert_eq!(backend.requests(), requests);
}

#[tokio::test]
async fn connections_are_reused_according_to_the_plan() {
    let backend = backend().await;
    let plan = Plan::download(backend.address(), "", 1_000).connections(2).requests(20);
    let kept = Load::start(plan.clone()).finish().await;
    assert_eq!((kept.opened, kept.announced_closes, kept.unannounced_closes), (2, 0, 0));
    let renewed =
        Load::start(plan.clone().connections(1).requests_per_connection(4)).finish().await;
    assert_eq!((renewed.successes, renewed.opened), (20, 5));
    let separate = Load::start(plan.without_keep_alive()).finish().await;
    assert_eq!(
        (separate.opened, separate.announced_closes, separate.unannounced_closes),
        (20, 0, 0)
    );
}

#[tokio::test]
async fn a_load_runs_until_it_is_stopped() {
    let backend = backend().await;
    let load = Load::start(Plan::download(backend.address(), "", 1_000).connections(3));
    tokio::time::sleep(Duration::from_millis(200)).await;
    let first = load.take();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut all = load.stop().await;
    assert!(first.successes > 0 && all.successes > 0, "{first}\n{all}");
    all.add(&first);
    assert_eq!((all.successes, all.failed()), (backend.requests(), 0), "{all}");
    assert!(all.percentile(50.0) > Duration::ZERO && all.percentile(99.0) <= all.max());
}

#[tokio::test]
async fn an_unexpected_status_or_body_is_a_failure() {
    let backend = backend().await;
    let missing = Plan::get(backend.address(), "/missing").requests(10);
    let counts = Load::start(missing.clone()).finish().await;
    assert_all_failed(&counts, FailureKind::UnexpectedStatus);
    assert!(counts.to_string().contains("404 Not Found: no such path"), "{counts}");
    assert_eq!(counts.opened, 1, "the connection is reused");
    let right = Load::start(missing.status(StatusCode::NOT_FOUND)).finish().await;
    assert_eq!((right.successes, right.failed()), (10, 0));
    let other =
        Plan { expected_body: Some(pattern(999)), ..Plan::download(backend.address(), "", 1_000) };
    assert_all_failed(&Load::start(other.requests(10)).finish().await, FailureKind::UnexpectedBody);
}

#[tokio::test]
async fn every_fault_is_counted_as_its_kind_of_failure() {
    for (fault, kind) in [
        (Fault::Closes, FailureKind::Reset),
        (Fault::Resets, FailureKind::Reset),
        (Fault::ResetsInBody, FailureKind::TruncatedBody),
        (Fault::ClosesInBody, FailureKind::TruncatedBody),
        (Fault::Garbage, FailureKind::InvalidResponse),
        (Fault::Silent, FailureKind::TimedOut),
        (Fault::Slow(Duration::from_secs(1)), FailureKind::TimedOut),
    ] {
        let (counts, requests) = ten(fault).await;
        assert_all_failed(&counts, kind);
        assert_eq!(requests, 10, "{fault:?}: no request is sent twice");
    }
}

#[tokio::test]
async fn a_missing_server_refuses_connections() {
    let gone = backend().await.address();
    let counts = Load::start(Plan::get(gone, "/").requests(10)).finish().await;
    assert_all_failed(&counts, FailureKind::Refused);
}

#[tokio::test]
async fn a_server_that_closes_every_connection_immediately_is_not_retried_forever() {
    let server = faulty(Fault::ClosesAtOnce).await;
    let plan = Plan::get(server.address(), "/").requests(10);
    assert_all_failed(&Load::start(plan.clone()).finish().await, FailureKind::Reset);
    assert_all_failed(&Load::start(plan.http2(1)).finish().await, FailureKind::Reset);
}

#[tokio::test]
async fn a_connection_closed_between_requests_is_reopened() {
    let (announced, requests) = ten(Fault::AnnouncesClose).await;
    assert_eq!((announced.successes, announced.failed(), requests), (10, 0, 10), "{announced}");
    assert_eq!((announced.opened, announced.announced_closes), (10, 10), "{announced}");

    // The delay between requests lets each close arrive before the next request.
    let server = faulty(Fault::ClosesAfterResponse).await;
    let plan = Plan::get(server.address(), "/").requests(10).think_time(Duration::from_millis(30));
    let unannounced = Load::start(plan).finish().await;
    assert_eq!((unannounced.successes, unannounced.failed()), (10, 0), "{unannounced}");
    assert_eq!((unannounced.announced_closes, server.requests()), (0, 10), "{unannounced}");
    assert!((9..=10).contains(&unannounced.unannounced_closes), "{unannounced}");
}

/// An HTTP/2 server that sends a GOAWAY for the first request of each connection, without
/// processing it.
async fn go_away(listener: tokio::net::TcpListener) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    /// For stream 0: the last processed stream is 0, and there is no error.
    const GO_AWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    const HEADERS: u8 = 1;
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(&SETTINGS).await.unwrap();
        let mut preface = [0; 24];
        stream.read_exact(&mut preface).await.unwrap();
        let mut head = [0; 9];
        while head[3] != HEADERS {
            stream.read_exact(&mut head).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            stream.read_exact(&mut payload).await.unwrap();
        }
        stream.write_all(&GO_AWAY).await.unwrap();
        // Until the client has closed it.
        while stream.read(&mut head).await.is_ok_and(|read| read > 0) {}
    }
}

#[tokio::test]
async fn an_unprocessed_request_is_sent_again_and_counted() {
    let listener = tokio::net::TcpListener::bind(ANY).await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(go_away(listener));
    let counts = Load::start(Plan::get(address, "/").requests(1).http2(1)).finish().await;
    server.abort();
    // Not forever: if the second connection ends in the same way, the client is not being served.
    assert_eq!((counts.unprocessed, counts.opened, counts.announced_closes), (2, 2, 1), "{counts}");
    assert_eq!((counts.requests(), counts.failed_by(FailureKind::Reset)), (1, 1), "{counts}");
}

#[tokio::test]
async fn responses_are_counted_by_unit() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind(ANY).await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let body = r#"{"unit":"contoso/westeurope/1","incarnation":7}"#;
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length";
        let response = format!("{head}: {}\r\n\r\n{body}", body.len());
        let mut request = [0; 1024];
        while stream.read(&mut request).await.unwrap() > 0 {
            stream.write_all(response.as_bytes()).await.unwrap();
        }
    });
    let counts = Load::start(Plan::get(address, "/status").requests(5)).finish().await;
    server.await.unwrap();
    let units: Vec<_> = counts.units.into_iter().collect();
    assert_eq!(units, [("contoso/westeurope/1 incarnation 7".to_owned(), 5)]);
}
