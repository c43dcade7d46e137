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
use crate::support::{Caller, Running, api, configuration, eventually};

fn limited(backend: &Backend, limits: GatewayLimits) -> GatewayConfiguration {
    let apis = vec![api("/", backend.url(""))];
    GatewayConfiguration { limits: Some(limits), ..configuration(1, apis) }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_too_many_is_told_so_at_once() {
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
    let mut callers: Vec<Caller> = (0..2).map(|_| Caller::connect(unit.address).unwrap()).collect();
    for caller in &mut callers {
        caller.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    }
    eventually("two calls run", || identity(&unit).load.unwrap().in_flight == 2);
    let mut surplus = Caller::connect(unit.address).unwrap();
    let refused = surplus.call("GET", "/").unwrap();
    assert_eq!(refused.problem().0, 503);
    assert_eq!(refused.fields("retry-after"), ["1"]);
    assert_eq!(surplus.call("GET", "/status-0123456789abcdef").unwrap().status(), 200);
    opened.add_permits(3);
    for caller in &mut callers {
        assert_eq!(caller.receive().unwrap().body, "done");
    }
    eventually("no call runs", || identity(&unit).load.unwrap().in_flight == 0);
    assert_eq!(surplus.call("GET", "/").unwrap().body, "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_beyond_the_rate_are_told_when_to_come_again() {
    let backend = Backend::echo().await;
    let limits = GatewayLimits { requests_per_second: 5, ..Default::default() };
    let unit = Running::serving(limited(&backend, limits));
    let mut caller = Caller::connect(unit.address).unwrap();
    let answers: Vec<_> = (0..30).map(|_| caller.call("GET", "/").unwrap()).collect();
    assert!(answers[..5].iter().all(|answer| answer.status() == 200), "{answers:?}");
    let refused = answers.iter().find(|answer| answer.status() != 200).unwrap();
    assert_eq!(refused.problem().0, 429);
    assert_eq!(refused.fields("retry-after"), ["1"]);
    eventually("a call is let in again", || caller.call("GET", "/").unwrap().status() == 200);
    // A new configuration with the same rate is no new burst.
    while caller.call("GET", "/").unwrap().status() == 200 {}
    unit.configure(GatewayConfiguration { revision: 2, ..limited(&backend, limits) });
    let burst = (0..3).map(|_| caller.call("GET", "/").unwrap().status());
    assert!(burst.into_iter().any(|status| status == 429));
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_and_bodies_that_are_too_large_are_refused() {
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
    for (call, status) in cases {
        let mut caller = Caller::connect(unit.address).unwrap();
        caller.send(&call).unwrap();
        let answer = caller.receive().unwrap();
        assert_eq!(answer.status(), status, "{call}: {answer:?}");
        if status != 200 {
            answer.problem();
        }
        let mut next = Caller::connect(unit.address).unwrap();
        assert_eq!(next.call("GET", "/").unwrap().status(), 200, "after {call}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_stops_within_its_body_is_told_so() {
    let backend = Backend::echo().await;
    let unit = Running::serving(limited(&backend, GatewayLimits::default()));
    let mut caller = Caller::connect(unit.address).unwrap();
    caller.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n123").unwrap();
    assert_eq!(caller.receive().unwrap().problem().0, 408);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_but_steady_body_arrives() {
    let backend = Backend::echo().await;
    let mut configuration = limited(&backend, GatewayLimits::default());
    configuration.apis[0].idle_timeout_ms = 200;
    configuration.apis[0].response_timeout_ms = 300;
    let unit = Running::serving(configuration);
    let mut caller = Caller::connect(unit.address).unwrap();
    caller.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n").unwrap();
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(60));
        caller.send("x").unwrap();
    }
    assert!(caller.receive().unwrap().body.ends_with("\n\nxxxxxxxxxx"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_for_a_head_does_not_run_between_calls() {
    let unit = Running::start();
    let mut caller = Caller::connect(unit.address).unwrap();
    let path = "/status-0123456789abcdef";
    assert_eq!(caller.call("GET", path).unwrap().status(), 200);
    assert!(caller.stays_silent(Duration::from_millis(700)));
    assert_eq!(caller.call("GET", path).unwrap().status(), 200);
    caller.send("GET /").unwrap();
    assert!(caller.is_ended());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_takes_nothing_of_an_answer_is_let_go() {
    let url = raw(|stream, _| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").unwrap();
        while stream.write_all(&[b'x'; 65536]).is_ok() {}
    });
    let unit = Running::serving(configuration(1, vec![api("/", url)]));
    let mut caller = Caller::connect(unit.address).unwrap();
    caller.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    eventually("the call runs", || identity(&unit).load.unwrap().in_flight == 1);
    eventually("the call was ended", || identity(&unit).load.unwrap().in_flight == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_before_the_body_was_read_is_passed_on() {
    let url = raw(|stream, _| {
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").unwrap();
    });
    let good = Backend::echo().await;
    let apis = vec![api("/early", url), api("/good", good.url(""))];
    let unit = Running::serving(configuration(1, apis));
    let mut caller = Caller::connect(unit.address).unwrap();
    caller.send("POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12").unwrap();
    let answer = caller.receive().unwrap();
    assert_eq!((answer.status(), answer.body.as_str()), (403, "no"));
    let mut next = Caller::connect(unit.address).unwrap();
    assert_eq!(next.call("GET", "/good").unwrap().status(), 200);
    assert_eq!(good.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_goes_on_sending_a_body_that_was_refused_is_cut_off() {
    let unit = Running::start();
    let mut caller = Caller::connect(unit.address).unwrap();
    let length = u64::MAX / 2;
    caller
        .send(&format!("POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"))
        .unwrap();
    let mut writer = caller.duplicate();
    let writing = std::thread::spawn(move || while writer.write_all(&[b'x'; 65536]).is_ok() {});
    assert_eq!(caller.receive().unwrap().problem().0, 404);
    eventually("the sending fails", || writing.is_finished());
}
