//! Misbehaving backends: their requests end in time and with the right status, and other APIs are
//! not affected.

use std::io::Write as _;
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;

use crate::backend::{Backend, canned, closing, raw};
use crate::support::{Client, Running, api, configuration};

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345";

/// Requests `/bad` from a unit that has `backend` there while requests to `/good` continue, and
/// returns the response.
async fn request_bad(backend: String) -> std::io::Result<crate::support::ClientResponse> {
    let good = Backend::echo().await;
    let unit =
        Running::serving(configuration(1, vec![api("/bad", backend), api("/good", good.url(""))]));
    let mut bad = Client::connect(unit.address).unwrap();
    let begin = Instant::now();
    bad.send("GET /bad HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut other = Client::connect(unit.address).unwrap();
    for _ in 0..20 {
        assert_eq!(other.request("GET", "/good").unwrap().status(), 200);
    }
    let response = bad.receive();
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    assert_eq!(other.request("GET", "/good").unwrap().status(), 200);
    response
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_response_is_a_bad_gateway() {
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let garbage: [&'static str; 9] = [
        "",
        "\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: y\r\n folded: z\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 O",
        Box::leak(long.into_boxed_str()),
    ];
    for bytes in garbage {
        let response = request_bad(canned(bytes)).await.unwrap();
        let start = bytes.get(..60).unwrap_or(bytes);
        assert_eq!(response.problem().0, 502, "{start:?}: {response:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_head_that_arrives_too_slowly_is_a_gateway_timeout() {
    let trickle = raw(|stream, _| {
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".iter().cycle() {
            sleep(Duration::from_millis(50));
            if stream.write_all(&[*byte]).is_err() {
                return;
            }
        }
    });
    let continues = raw(|stream, _| {
        while stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").is_ok() {
            sleep(Duration::from_millis(20));
        }
    });
    for backend in [trickle, continues, raw(|_, _| sleep(Duration::from_secs(3)))] {
        assert_eq!(request_bad(backend).await.unwrap().problem().0, 504);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incomplete_response_does_not_look_complete() {
    let closes = raw(|stream, _| {
        stream.write_all(HEAD).unwrap();
        stream.shutdown(Shutdown::Both).unwrap();
    });
    let resets = raw(|stream, _| {
        stream.write_all(HEAD).unwrap();
        set_socket_linger(&*stream, Some(Duration::ZERO)).unwrap();
        // The test backend reads no further request, so the connection is dropped, which resets it.
        stream.shutdown(Shutdown::Read).unwrap();
    });
    let stops = raw(|stream, _| {
        stream.write_all(HEAD).unwrap();
        sleep(Duration::from_secs(3));
    });
    let bad_chunk =
        canned("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n");
    let half_chunk = canned("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc");
    for (case, backend) in [closes, resets, stops, bad_chunk, half_chunk].into_iter().enumerate() {
        let response = request_bad(backend).await;
        // A head with status 200 may have been sent, but then the connection must fail.
        assert!(response.is_err(), "case {case}: {response:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_without_a_length_ends_with_its_connection() {
    let response = request_bad(canned("HTTP/1.0 200 OK\r\n\r\nall of it")).await.unwrap();
    assert_eq!((response.status(), response.body.as_str()), (200, "all of it"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_does_not_read_the_request_body_is_a_gateway_timeout() {
    let backend = raw(|_, _| sleep(Duration::from_secs(5)));
    let unit = Running::serving(configuration(1, vec![api("/", backend)]));
    let mut client = Client::connect(unit.address).unwrap();
    let length = 100 << 20;
    client
        .send(&format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"))
        .unwrap();
    let mut writer = client.duplicate();
    let writing = std::thread::spawn(move || while writer.write_all(&[b'x'; 65536]).is_ok() {});
    assert_eq!(client.receive().unwrap().problem().0, 504);
    drop(client);
    drop(unit);
    writing.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_ends_connections_ends_at_most_two_of_them() {
    const POOLED: usize = 8;
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&requests);
    // Responds once each request has its own connection.
    let all = Barrier::new(POOLED);
    let backend = raw(move |stream, head| {
        if head.starts_with("GET /fatal") {
            counter.fetch_add(1, Ordering::Relaxed);
            stream.shutdown(Shutdown::Both).ok();
        } else {
            all.wait();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").ok();
        }
    });
    let mut patient = api("/", backend);
    patient.response_timeout_ms = 20_000;
    let unit = Running::serving(configuration(1, vec![patient]));
    let mut clients: Vec<Client> =
        (0..POOLED).map(|_| Client::connect(unit.address).unwrap()).collect();
    for client in &mut clients {
        client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    }
    for client in &mut clients {
        assert_eq!(client.receive().unwrap().status(), 200);
    }
    let response = clients[0].request("GET", "/fatal").unwrap();
    assert_eq!(response.problem().0, 502, "{response:?}");
    assert_eq!(
        requests.load(Ordering::Relaxed),
        2,
        "once on a pooled connection, once on a new one"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_ended_a_pooled_connection_is_repeated_if_that_is_safe() {
    const BODY: &str = "Content-Length: 4\r\n\r\nbody";
    for (method, rest, begin, status, requests) in [
        ("GET", "\r\n", "", 200, 3),
        ("HEAD", "\r\n", "", 200, 3),
        ("PUT", "\r\n", "", 200, 3),
        ("DELETE", "\r\n", "", 200, 3),
        ("POST", "\r\n", "", 502, 2),
        ("PATCH", "\r\n", "", 502, 2),
        ("BREW", "\r\n", "", 502, 2),
        ("PUT", BODY, "", 502, 2),
        ("GET", "\r\n", "H", 502, 2),
        ("GET", "\r\n", "HTTP/1.1 200 OK\r\nConte", 502, 2),
        ("GET", "\r\n", "HTTP/1.1 103 Early Hints\r\n\r\n", 502, 2),
    ] {
        let (url, counter) = closing(begin);
        let unit = Running::serving(configuration(1, vec![api("/", url)]));
        let mut client = Client::connect(unit.address).unwrap();
        assert_eq!(client.request("GET", "/").unwrap().status(), 200);
        client.send(&format!("{method} / HTTP/1.1\r\nHost: a\r\n{rest}")).unwrap();
        let head = client.receive_head().unwrap();
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{method} {begin:?}: {head}");
        assert_eq!(counter.load(Ordering::Relaxed), requests, "{method} {begin:?}");
    }
}
