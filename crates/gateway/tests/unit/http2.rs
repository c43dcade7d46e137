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
use crate::streams::{Answered, Backend, Call, Streams, serving, serving_briefly};
use crate::support::{Caller, Running, api, configuration, eventually};

/// Says which call this is, and how it came.
async fn echo(mut call: Call) {
    let (body, trailers) = call.read().await;
    let (head, _) = call.request.into_parts();
    let mut text = format!("{} {} {:?}\n", head.method, head.uri, head.version);
    for (name, value) in &head.headers {
        text.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
    }
    text.push_str(&format!("\n{}", String::from_utf8(body).unwrap()));
    let mut answer = call.respond.send_response(Response::new(()), false).unwrap();
    answer.send_data(text.into(), false).unwrap();
    answer.send_trailers(trailers.unwrap_or_default()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_share_one_connection_to_the_backend() {
    let all = Arc::new(Barrier::new(50));
    let backend = Backend::start(move |call| {
        let all = Arc::clone(&all);
        async move {
            all.wait().await;
            echo(call).await;
        }
    })
    .await;
    let unit = serving(&backend);
    let streams = Streams::connect(&unit).await;
    let mut calls = Vec::new();
    for n in 0..50 {
        let answer = streams.begin("GET", &format!("/orders/{n}?q")).await;
        calls.push(tokio::spawn(Answered::receive(answer)));
    }
    for (n, call) in calls.into_iter().enumerate() {
        let answer = call.await.unwrap();
        let line = format!("GET http://{}/orders/{n}?q HTTP/2.0\n", backend.address);
        assert!(answer.body.starts_with(&line), "{}", answer.body);
        for field in ["te: trailers\n", "via: 2 contoso.", "x-forwarded-host: shop.example\n"] {
            assert!(answer.body.contains(field), "{}", answer.body);
        }
        assert!(!answer.body.contains("\nhost: "), "{}", answer.body);
        assert_eq!(answer.headers["via"], "2 contoso.westeurope.2");
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_of_http1_reach_a_backend_of_http2() {
    let backend = Backend::start(echo).await;
    let unit = serving(&backend);
    let mut caller = Caller::connect(unit.address).unwrap();
    let long = "0123456789".repeat(100_000);
    let length = long.len();
    for _ in 0..3 {
        caller
            .send(&format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{long}"))
            .unwrap();
        let answer = caller.receive().unwrap();
        assert!(answer.head.starts_with("http/1.1 200 ok\r\n"), "{}", answer.head);
        assert!(answer.body.ends_with(&long), "{} bytes", answer.body.len());
        assert!(answer.body.contains("content-length: 1000000\n"));
        caller
            .send(
                "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: x\r\n\
                 X: 1\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            )
            .unwrap();
        let answer = caller.receive().unwrap();
        assert!(answer.body.ends_with("\n\nabcde"), "{}", answer.body);
        for field in ["transfer-encoding: ", "connection: ", "\nx: ", "te: ", "content-length: "] {
            assert!(!answer.body.contains(field), "{}", answer.body);
        }
        let head = caller.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(head.and_then(|()| caller.receive_head()).unwrap().starts_with("http/1.1 200 "));
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_behind_a_body_pass_both_ways() {
    let backend = Backend::start(echo).await;
    let unit = serving(&backend);
    let mut sender = Streams::connect(&unit).await.0.ready().await.unwrap();
    let request = Request::post("http://shop.example/").body(()).unwrap();
    let (answer, mut body) = sender.send_request(request, false).unwrap();
    body.send_data(Bytes::from_static(b"abc"), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    body.send_trailers(trailers).unwrap();
    let answer = Answered::receive(answer).await;
    assert!(answer.body.ends_with("\n\nabc"), "{}", answer.body);
    assert_eq!(answer.trailers.unwrap()["grpc-status"], "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_who_take_nothing_hold_up_no_other() {
    const SLOW: usize = 60;
    let stuck = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&stuck);
    let backend = Backend::start(move |mut call| {
        let stuck = Arc::clone(&counter);
        async move {
            if call.path() != "/endless" {
                return call.answer("quick");
            }
            let mut body = call.respond.send_response(Response::new(()), false).unwrap();
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
    let streams = Streams::connect(&unit).await;
    let mut untaken = Vec::new();
    for _ in 0..SLOW {
        untaken.push(streams.begin("GET", "/endless").await.await.unwrap());
    }
    while stuck.load(Ordering::Relaxed) < SLOW {
        sleep(Duration::from_millis(5)).await;
    }
    // The caller's own connection is full of what it does not take.
    let mut other = Vec::new();
    while other.len() < 16 {
        other.push(Caller::connect(unit.address).unwrap());
    }
    for caller in &mut other {
        assert_eq!(caller.call("GET", "/quick").unwrap().body, "quick");
    }
    assert!(backend.connections() <= 2, "one for each worker: {}", backend.connections());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_takes_few_calls_at_a_time_gets_more_connections() {
    let all = Arc::new(Barrier::new(10));
    let backend = Backend::limited(Some(2), None, move |call| {
        let all = Arc::clone(&all);
        async move {
            if call.path() == "/together" {
                all.wait().await;
            }
            call.answer("ok");
        }
    })
    .await;
    let unit = serving(&backend);
    let streams = Streams::connect(&unit).await;
    assert_eq!(streams.call("GET", "/first").await.body, "ok");
    let mut calls = Vec::new();
    for _ in 0..10 {
        calls.push(tokio::spawn(Answered::receive(streams.begin("GET", "/together").await)));
    }
    for call in calls {
        assert_eq!(call.await.unwrap().body, "ok");
    }
    let connections = backend.connections();
    assert!((5..=10).contains(&connections), "{connections}");
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_who_come_together_share_connections_as_soon_as_their_room_is_known() {
    const CALLS: usize = 90;
    let all = Arc::new(Barrier::new(CALLS));
    let backend = Backend::limited(Some(10), None, move |call| {
        let all = Arc::clone(&all);
        async move {
            all.wait().await;
            call.answer("ok");
        }
    })
    .await;
    let unit = serving(&backend);
    let streams = Streams::connect(&unit).await;
    let mut calls = Vec::new();
    for _ in 0..CALLS {
        calls.push(tokio::spawn(Answered::receive(streams.begin("GET", "/").await)));
    }
    for call in calls {
        assert_eq!(call.await.unwrap().body, "ok");
    }
    let connections = backend.connections();
    assert!((9..=18).contains(&connections), "{connections}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_takes_too_long_ends_alone() {
    let backend = Backend::start(|mut call| async move {
        match call.path() {
            "/silent" => sleep(Duration::from_secs(5)).await,
            "/stops" => {
                let mut body = call.respond.send_response(Response::new(()), false).unwrap();
                body.send_data(Bytes::from_static(b"12345"), false).unwrap();
                sleep(Duration::from_secs(5)).await;
            }
            "/slow" => {
                let mut body = call.respond.send_response(Response::new(()), false).unwrap();
                for _ in 0..10 {
                    sleep(Duration::from_millis(100)).await;
                    body.send_data(Bytes::from_static(b"."), false).unwrap();
                }
                body.send_data(Bytes::new(), true).unwrap();
            }
            _ => {
                let number = call.number.to_string();
                call.answer(&number);
            }
        }
    })
    .await;
    let unit = serving_briefly(&backend);
    let streams = Streams::connect(&unit).await;
    assert_eq!(streams.call("GET", "/").await.body, "1");
    let slow = tokio::spawn(Answered::receive(streams.begin("GET", "/slow").await));
    let begin = Instant::now();
    let answer = streams.call("GET", "/silent").await;
    assert_eq!(answer.status, 504, "{answer:?}");
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    assert_eq!(streams.call("GET", "/").await.body, "1", "the next call has another connection");
    assert_eq!(slow.await.unwrap().body, "..........");
    let broken = streams.begin("GET", "/stops").await.await.unwrap();
    let mut body = broken.into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "12345");
    assert!(body.data().await.unwrap().is_err(), "a cut answer does not look complete");
    assert_eq!(streams.call("GET", "/").await.body, "1");
    assert_eq!(backend.connections(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_of_http2_that_takes_nothing_of_a_body_is_a_time_out() {
    let backend = Backend::start(|call| async move {
        if call.path() == "/stuck" {
            sleep(Duration::from_secs(5)).await;
        }
        call.answer("ok");
    })
    .await;
    let unit = serving_briefly(&backend);
    let mut caller = Caller::connect(unit.address).unwrap();
    caller.send("POST /stuck HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n").unwrap();
    let mut writer = caller.duplicate();
    let writing = std::thread::spawn(move || while writer.write_all(&[b'x'; 65536]).is_ok() {});
    assert_eq!(caller.receive().unwrap().problem().0, 504);
    let mut other = Caller::connect(unit.address).unwrap();
    assert_eq!(other.call("GET", "/").unwrap().body, "ok");
    drop((caller, other, unit));
    writing.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_stops_within_a_body_costs_no_connection() {
    let backend = Backend::start(echo).await;
    let unit = serving_briefly(&backend);
    let streams = Streams::connect(&unit).await;
    for _ in 0..3 {
        let mut sender = streams.0.clone().ready().await.unwrap();
        let request = Request::post("http://shop.example/").body(()).unwrap();
        let (answer, mut body) = sender.send_request(request, false).unwrap();
        body.send_data(Bytes::from_static(b"abc"), false).unwrap();
        assert_eq!(answer.await.unwrap().status(), 408);
        assert_eq!(streams.call("GET", "/").await.status, 200);
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_outlasts_its_answer_does_not_stay_for_ever() {
    let backend = Backend::start(|mut call| async move {
        let answer = call.respond.send_response(Response::new(()), false);
        answer.unwrap().send_data(Bytes::from_static(b"enough"), true).unwrap();
        // Nothing of the body is taken.
        sleep(Duration::from_secs(60)).await;
    })
    .await;
    let unit = serving(&backend);
    let mut caller = Caller::connect(unit.address).unwrap();
    caller.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n").unwrap();
    let mut writer = caller.duplicate();
    let writing = std::thread::spawn(move || while writer.write_all(&[b'x'; 65536]).is_ok() {});
    assert_eq!(caller.receive().unwrap().body, "enough");
    eventually("its connection is closed", || backend.ended.load(Ordering::Relaxed) == 1);
    drop((caller, unit));
    writing.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_reset_does_not_look_complete() {
    let backend = Backend::start(|mut call| async move {
        let mut body = call.respond.send_response(Response::new(()), false).unwrap();
        body.send_data(Bytes::from_static(b"12345"), false).unwrap();
        sleep(Duration::from_millis(50)).await;
        body.send_reset(Reason::INTERNAL_ERROR);
    })
    .await;
    let unit = serving(&backend);
    let mut caller = Caller::connect(unit.address).unwrap();
    let answer = caller.call("GET", "/");
    assert!(answer.is_err(), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_does_not_speak_http2_is_a_bad_gateway() {
    for text in ["HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "SSH-2.0-x\r\n", ""] {
        let url = canned(text).replace("http:", "h2c:");
        let unit = Running::serving(configuration(1, vec![api("/", url)]));
        let answer = Caller::connect(unit.address).unwrap().call("GET", "/").unwrap();
        let (status, detail) = answer.problem();
        assert_eq!(status, 502, "{answer:?}");
        assert!(!detail.contains("127.0.0.1"), "{answer:?}");
    }
    let closed = StdTcpListener::bind("127.0.0.1:0").unwrap();
    let refusing = format!("h2c://{}", closed.local_addr().unwrap());
    drop(closed);
    let unit = Running::serving(configuration(1, vec![api("/", refusing)]));
    let streams = Streams::connect(&unit).await;
    let mut calls = Vec::new();
    for _ in 0..50 {
        calls.push(tokio::spawn(Answered::receive(streams.begin("GET", "/").await)));
    }
    for call in calls {
        assert_eq!(call.await.unwrap().status, 502);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_wants_to_leave_http_goes_by_http1() {
    let url = raw(|stream, head| {
        assert!(head.starts_with("GET /chat HTTP/1.1\r\n"), "{head}");
        let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                      Upgrade: websocket\r\n\r\nHELLO";
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let url = url.replace("http:", "h2c:");
    let unit = Running::serving(configuration(1, vec![api("/", url)]));
    let mut caller = Caller::connect(unit.address).unwrap();
    caller
        .send("GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        .unwrap();
    let head = caller.receive_head().unwrap();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert_eq!(caller.receive_bytes(5).unwrap(), "HELLO");
}
