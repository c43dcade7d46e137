//! Backends that misbehave: their calls end in time and with the right status, other APIs do not
//! notice.

use std::io::Write as _;
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;

use crate::backend::{Backend, canned, closing, raw};
use crate::support::{Caller, Running, api, configuration};

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345";

/// Calls `/bad` of a unit that has `backend` there, while `/good` goes on, and returns the answer.
async fn call(backend: String) -> std::io::Result<crate::support::Answer> {
    let good = Backend::echo().await;
    let unit =
        Running::serving(configuration(1, vec![api("/bad", backend), api("/good", good.url(""))]));
    let mut bad = Caller::connect(unit.address).unwrap();
    let begin = Instant::now();
    bad.send("GET /bad HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut other = Caller::connect(unit.address).unwrap();
    for _ in 0..20 {
        assert_eq!(other.call("GET", "/good").unwrap().status(), 200);
    }
    let answer = bad.receive();
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    assert_eq!(other.call("GET", "/good").unwrap().status(), 200);
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_answer_is_a_bad_gateway() {
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
        let answer = call(canned(bytes)).await.unwrap();
        let start = bytes.get(..60).unwrap_or(bytes);
        assert_eq!(answer.problem().0, 502, "{start:?}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_comes_too_slowly_is_a_time_out() {
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
        assert_eq!(call(backend).await.unwrap().problem().0, 504);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_does_not_look_complete() {
    let closes = raw(|stream, _| {
        stream.write_all(HEAD).unwrap();
        stream.shutdown(Shutdown::Both).unwrap();
    });
    let resets = raw(|stream, _| {
        stream.write_all(HEAD).unwrap();
        set_socket_linger(&*stream, Some(Duration::ZERO)).unwrap();
        // No next call is waited for, and so the connection is dropped, which resets it.
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
        let answer = call(backend).await;
        // A head may have gone out with status 200, but then the connection breaks.
        assert!(answer.is_err(), "case {case}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_a_length_ends_with_its_connection() {
    let answer = call(canned("HTTP/1.0 200 OK\r\n\r\nall of it")).await.unwrap();
    assert_eq!((answer.status(), answer.body.as_str()), (200, "all of it"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_takes_nothing_of_a_body_is_a_time_out() {
    let backend = raw(|_, _| sleep(Duration::from_secs(5)));
    let unit = Running::serving(configuration(1, vec![api("/", backend)]));
    let mut caller = Caller::connect(unit.address).unwrap();
    let length = 100 << 20;
    caller
        .send(&format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"))
        .unwrap();
    let mut writer = caller.duplicate();
    let writing = std::thread::spawn(move || while writer.write_all(&[b'x'; 65536]).is_ok() {});
    assert_eq!(caller.receive().unwrap().problem().0, 504);
    drop(caller);
    drop(unit);
    writing.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_ends_connections_ends_two_of_them_at_most() {
    const KEPT: usize = 8;
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    // Answers once each call has a connection of its own.
    let all = Barrier::new(KEPT);
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
    let mut callers: Vec<Caller> =
        (0..KEPT).map(|_| Caller::connect(unit.address).unwrap()).collect();
    for caller in &mut callers {
        caller.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    }
    for caller in &mut callers {
        assert_eq!(caller.receive().unwrap().status(), 200);
    }
    let answer = callers[0].call("GET", "/fatal").unwrap();
    assert_eq!(answer.problem().0, 502, "{answer:?}");
    assert_eq!(calls.load(Ordering::Relaxed), 2, "once on a kept connection, once on a new one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_ended_a_kept_connection_is_repeated_if_it_can_do_no_harm() {
    const BODY: &str = "Content-Length: 4\r\n\r\nbody";
    for (method, rest, begin, status, calls) in [
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
        let mut caller = Caller::connect(unit.address).unwrap();
        assert_eq!(caller.call("GET", "/").unwrap().status(), 200);
        caller.send(&format!("{method} / HTTP/1.1\r\nHost: a\r\n{rest}")).unwrap();
        let head = caller.receive_head().unwrap();
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{method} {begin:?}: {head}");
        assert_eq!(counter.load(Ordering::Relaxed), calls, "{method} {begin:?}");
    }
}
