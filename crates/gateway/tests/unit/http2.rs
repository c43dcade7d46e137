//! Backends that speak HTTP/2.

use std::io::Write as _;
use std::net::TcpListener as StdTcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::Reason;
use hyper::header::HeaderMap;
use hyper::{Request, Response};
use tokio::sync::Barrier;
use tokio::time::{sleep, timeout};

use crate::backend::{canned, raw};
use crate::http2_support::{
    Backend, Exchange, Http2Client, Http2Response, serving, serving_with_short_timeouts,
};
use crate::support::{Client, Running, api, configuration, eventually};

/// Responds with the request as the backend received it.
async fn echo(mut exchange: Exchange) {
    let (body, trailers) = exchange.read().await;
    let (head, _) = exchange.request.into_parts();
    let mut text = format!("{} {} {:?}\n", head.method, head.uri, head.version);
    for (name, value) in &head.headers {
        text.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
    }
    text.push_str(&format!("\n{}", String::from_utf8(body).unwrap()));
    let mut response = exchange.responder.send_response(Response::new(()), false).unwrap();
    response.send_data(text.into(), false).unwrap();
    response.send_trailers(trailers.unwrap_or_default()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_share_one_connection_to_the_backend() {
    let all = Arc::new(Barrier::new(50));
    let backend = Backend::start(move |exchange| {
        let all = Arc::clone(&all);
        async move {
            all.wait().await;
            echo(exchange).await;
        }
    })
    .await;
    let unit = serving(&backend);
    let client = Http2Client::connect(&unit).await;
    let mut requests = Vec::new();
    for n in 0..50 {
        let response = client.begin("GET", &format!("/orders/{n}?q")).await;
        requests.push(tokio::spawn(Http2Response::receive(response)));
    }
    for (n, request) in requests.into_iter().enumerate() {
        let response = request.await.unwrap();
        let line = format!("GET http://{}/orders/{n}?q HTTP/2.0\n", backend.address);
        assert!(response.body.starts_with(&line), "{}", response.body);
        for field in ["te: trailers\n", "via: 2 contoso.", "x-forwarded-host: shop.example\n"] {
            assert!(response.body.contains(field), "{}", response.body);
        }
        assert!(!response.body.contains("\nhost: "), "{}", response.body);
        assert_eq!(response.headers["via"], "2 contoso.westeurope.2");
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn http1_clients_reach_an_http2_backend() {
    let backend = Backend::start(echo).await;
    let unit = serving(&backend);
    let mut client = Client::connect(unit.address).unwrap();
    let long = "0123456789".repeat(100_000);
    let length = long.len();
    for _ in 0..3 {
        client
            .send(&format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{long}"))
            .unwrap();
        let response = client.receive().unwrap();
        assert!(response.head.starts_with("http/1.1 200 ok\r\n"), "{}", response.head);
        assert!(response.body.ends_with(&long), "{} bytes", response.body.len());
        assert!(response.body.contains("content-length: 1000000\n"));
        client
            .send(
                "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: x\r\n\
                 X: 1\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            )
            .unwrap();
        let response = client.receive().unwrap();
        assert!(response.body.ends_with("\n\nabcde"), "{}", response.body);
        for field in ["transfer-encoding: ", "connection: ", "\nx: ", "te: ", "content-length: "] {
            assert!(!response.body.contains(field), "{}", response.body);
        }
        let head = client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(head.and_then(|()| client.receive_head()).unwrap().starts_with("http/1.1 200 "));
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_are_forwarded_in_both_directions() {
    let backend = Backend::start(echo).await;
    let unit = serving(&backend);
    let mut sender = Http2Client::connect(&unit).await.0.ready().await.unwrap();
    let request = Request::post("http://shop.example/").body(()).unwrap();
    let (response, mut body) = sender.send_request(request, false).unwrap();
    body.send_data(Bytes::from_static(b"abc"), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    body.send_trailers(trailers).unwrap();
    let response = Http2Response::receive(response).await;
    assert!(response.body.ends_with("\n\nabc"), "{}", response.body);
    assert_eq!(response.trailers.unwrap()["grpc-status"], "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_do_not_read_do_not_block_others() {
    const SLOW: usize = 60;
    let stuck = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&stuck);
    let backend = Backend::start(move |mut exchange| {
        let stuck = Arc::clone(&counter);
        async move {
            if exchange.path() != "/endless" {
                return exchange.respond("quick");
            }
            let mut body = exchange.responder.send_response(Response::new(()), false).unwrap();
            body.reserve_capacity(1 << 30);
            loop {
                let capacity = timeout(
                    Duration::from_millis(200),
                    std::future::poll_fn(|cx| body.poll_capacity(cx)),
                );
                match capacity.await {
                    Ok(Some(Ok(capacity))) => {
                        body.send_data(vec![b'x'; capacity].into(), false).unwrap()
                    }
                    Ok(_) => return,
                    Err(_) => break,
                }
            }
            stuck.fetch_add(1, Ordering::Relaxed);
            // The stream stays open.
            sleep(Duration::from_secs(30)).await;
        }
    })
    .await;
    let mut patient = api("/", backend.url());
    patient.idle_timeout_ms = 30_000;
    patient.response_timeout_ms = 10_000;
    let unit = Running::serving(configuration(1, vec![patient]));
    let client = Http2Client::connect(&unit).await;
    let mut unread = Vec::new();
    for _ in 0..SLOW {
        unread.push(client.begin("GET", "/endless").await.await.unwrap());
    }
    while stuck.load(Ordering::Relaxed) < SLOW {
        sleep(Duration::from_millis(5)).await;
    }
    // The flow-control window of the first client's connection is full, so other clients need their
    // own.
    let mut other = Vec::new();
    while other.len() < 16 {
        other.push(Client::connect(unit.address).unwrap());
    }
    for client in &mut other {
        assert_eq!(client.request("GET", "/quick").unwrap().body, "quick");
    }
    assert!(backend.connections() <= 2, "at most one per worker: {}", backend.connections());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_with_a_low_stream_limit_gets_more_connections() {
    let all = Arc::new(Barrier::new(10));
    let backend = Backend::limited(Some(2), None, move |exchange| {
        let all = Arc::clone(&all);
        async move {
            if exchange.path() == "/together" {
                all.wait().await;
            }
            exchange.respond("ok");
        }
    })
    .await;
    let unit = serving(&backend);
    let client = Http2Client::connect(&unit).await;
    assert_eq!(client.request("GET", "/first").await.body, "ok");
    let mut requests = Vec::new();
    for _ in 0..10 {
        requests.push(tokio::spawn(Http2Response::receive(client.begin("GET", "/together").await)));
    }
    for request in requests {
        assert_eq!(request.await.unwrap().body, "ok");
    }
    let connections = backend.connections();
    assert!((5..=10).contains(&connections), "{connections}");
}

#[tokio::test(flavor = "multi_thread")]
async fn simultaneous_clients_share_connections_once_the_stream_limit_is_known() {
    const REQUESTS: usize = 90;
    let all = Arc::new(Barrier::new(REQUESTS));
    let backend = Backend::limited(Some(10), None, move |exchange| {
        let all = Arc::clone(&all);
        async move {
            all.wait().await;
            exchange.respond("ok");
        }
    })
    .await;
    let unit = serving(&backend);
    let client = Http2Client::connect(&unit).await;
    let mut requests = Vec::new();
    for _ in 0..REQUESTS {
        requests.push(tokio::spawn(Http2Response::receive(client.begin("GET", "/").await)));
    }
    for request in requests {
        assert_eq!(request.await.unwrap().body, "ok");
    }
    let connections = backend.connections();
    assert!((9..=18).contains(&connections), "{connections}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_times_out_does_not_affect_others() {
    let backend = Backend::start(|mut exchange| async move {
        match exchange.path() {
            "/silent" => sleep(Duration::from_secs(5)).await,
            "/stops" => {
                let mut body = exchange.responder.send_response(Response::new(()), false).unwrap();
                body.send_data(Bytes::from_static(b"12345"), false).unwrap();
                sleep(Duration::from_secs(5)).await;
            }
            "/slow" => {
                let mut body = exchange.responder.send_response(Response::new(()), false).unwrap();
                for _ in 0..10 {
                    sleep(Duration::from_millis(100)).await;
                    body.send_data(Bytes::from_static(b"."), false).unwrap();
                }
                body.send_data(Bytes::new(), true).unwrap();
            }
            _ => {
                let number = exchange.number.to_string();
                exchange.respond(&number);
            }
        }
    })
    .await;
    let unit = serving_with_short_timeouts(&backend);
    let client = Http2Client::connect(&unit).await;
    assert_eq!(client.request("GET", "/").await.body, "1");
    let slow = tokio::spawn(Http2Response::receive(client.begin("GET", "/slow").await));
    let begin = Instant::now();
    let response = client.request("GET", "/silent").await;
    assert_eq!(response.status, 504, "{response:?}");
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    assert_eq!(
        client.request("GET", "/").await.body,
        "1",
        "the next request uses another connection"
    );
    assert_eq!(slow.await.unwrap().body, "..........");
    let broken = client.begin("GET", "/stops").await.await.unwrap();
    let mut body = broken.into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "12345");
    assert!(body.data().await.unwrap().is_err(), "an aborted response must not look complete");
    assert_eq!(client.request("GET", "/").await.body, "1");
    assert_eq!(backend.connections(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http2_backend_that_does_not_read_the_request_body_is_a_gateway_timeout() {
    let backend = Backend::start(|exchange| async move {
        if exchange.path() == "/stuck" {
            sleep(Duration::from_secs(5)).await;
        }
        exchange.respond("ok");
    })
    .await;
    let unit = serving_with_short_timeouts(&backend);
    let mut client = Client::connect(unit.address).unwrap();
    client.send("POST /stuck HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n").unwrap();
    let mut writer = client.duplicate();
    let writing = std::thread::spawn(move || while writer.write_all(&[b'x'; 65536]).is_ok() {});
    assert_eq!(client.receive().unwrap().problem().0, 504);
    let mut other = Client::connect(unit.address).unwrap();
    assert_eq!(other.request("GET", "/").unwrap().body, "ok");
    drop((client, other, unit));
    writing.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stalls_in_a_request_body_does_not_waste_a_connection() {
    let backend = Backend::start(echo).await;
    let unit = serving_with_short_timeouts(&backend);
    let client = Http2Client::connect(&unit).await;
    for _ in 0..3 {
        let mut sender = client.0.clone().ready().await.unwrap();
        let request = Request::post("http://shop.example/").body(()).unwrap();
        let (response, mut body) = sender.send_request(request, false).unwrap();
        body.send_data(Bytes::from_static(b"abc"), false).unwrap();
        assert_eq!(response.await.unwrap().status(), 408);
        assert_eq!(client.request("GET", "/").await.status, 200);
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_outlasts_its_response_is_closed() {
    let backend = Backend::start(|mut exchange| async move {
        let response = exchange.responder.send_response(Response::new(()), false);
        response.unwrap().send_data(Bytes::from_static(b"enough"), true).unwrap();
        // The backend reads none of the body.
        sleep(Duration::from_secs(60)).await;
    })
    .await;
    let unit = serving(&backend);
    let mut client = Client::connect(unit.address).unwrap();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n").unwrap();
    let mut writer = client.duplicate();
    let writing = std::thread::spawn(move || while writer.write_all(&[b'x'; 65536]).is_ok() {});
    assert_eq!(client.receive().unwrap().body, "enough");
    eventually("the connection of the upload is closed", || {
        backend.ended.load(Ordering::Relaxed) == 1
    });
    drop((client, unit));
    writing.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_is_reset_does_not_look_complete() {
    let backend = Backend::start(|mut exchange| async move {
        let mut body = exchange.responder.send_response(Response::new(()), false).unwrap();
        body.send_data(Bytes::from_static(b"12345"), false).unwrap();
        sleep(Duration::from_millis(50)).await;
        body.send_reset(Reason::INTERNAL_ERROR);
    })
    .await;
    let unit = serving(&backend);
    let mut client = Client::connect(unit.address).unwrap();
    let response = client.request("GET", "/");
    assert!(response.is_err(), "{response:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_does_not_speak_http2_is_a_bad_gateway() {
    for text in ["HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "SSH-2.0-x\r\n", ""] {
        let url = canned(text).replace("http:", "h2c:");
        let unit = Running::serving(configuration(1, vec![api("/", url)]));
        let response = Client::connect(unit.address).unwrap().request("GET", "/").unwrap();
        let (status, detail) = response.problem();
        assert_eq!(status, 502, "{response:?}");
        assert!(!detail.contains("127.0.0.1"), "{response:?}");
    }
    let closed = StdTcpListener::bind("127.0.0.1:0").unwrap();
    let refusing = format!("h2c://{}", closed.local_addr().unwrap());
    drop(closed);
    let unit = Running::serving(configuration(1, vec![api("/", refusing)]));
    let client = Http2Client::connect(&unit).await;
    let mut requests = Vec::new();
    for _ in 0..50 {
        requests.push(tokio::spawn(Http2Response::receive(client.begin("GET", "/").await)));
    }
    for request in requests {
        assert_eq!(request.await.unwrap().status, 502);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_request_uses_http1() {
    let url = raw(|stream, head| {
        assert!(head.starts_with("GET /chat HTTP/1.1\r\n"), "{head}");
        let response = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                      Upgrade: websocket\r\n\r\nHELLO";
        stream.write_all(response.as_bytes()).unwrap();
    });
    let url = url.replace("http:", "h2c:");
    let unit = Running::serving(configuration(1, vec![api("/", url)]));
    let mut client = Client::connect(unit.address).unwrap();
    client
        .send("GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        .unwrap();
    let head = client.receive_head().unwrap();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert_eq!(client.receive_bytes(5).unwrap(), "HELLO");
}
