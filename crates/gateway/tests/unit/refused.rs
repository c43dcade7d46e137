//! Backends of HTTP/2 that refuse calls, or end connections while calls are on them.

use h2::Reason;
use meridian_proto::v1::unit_response::Answer as ControlAnswer;
use tokio::task::spawn_blocking;

use crate::control;
use crate::streams::{Answered, Backend, Streams, ends_within, serving};
use crate::support::{Running, api, configuration};

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_call_goes_to_another_connection_whatever_its_method() {
    let backend = Backend::start(|mut call| async move {
        match (call.path(), call.connection) {
            ("/refused", 1) | ("/always", _) => call.respond.send_reset(Reason::REFUSED_STREAM),
            ("/broken", _) => call.respond.send_reset(Reason::INTERNAL_ERROR),
            _ => call.answer("ok"),
        }
    })
    .await;
    let unit = serving(&backend);
    let streams = Streams::connect(&unit).await;
    for (method, path, status, calls) in [
        ("GET", "/", 200, 1),
        ("POST", "/refused", 200, 2),
        ("GET", "/always", 502, 2),
        ("POST", "/broken", 502, 1),
        ("GET", "/broken", 502, 2),
        ("POST", "/", 200, 1),
    ] {
        let before = backend.calls();
        let answer = streams.call(method, path).await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        assert_eq!(backend.calls() - before, calls, "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_the_backend_ends_one_after_the_other_cost_no_call() {
    let backend = Backend::limited(None, Some(3), |call| async { call.answer("ok") }).await;
    let unit = serving(&backend);
    let streams = Streams::connect(&unit).await;
    for method in ["GET", "POST"].repeat(20) {
        assert_eq!(streams.call(method, "/").await.status, 200);
    }
    let mut calls = Vec::new();
    for _ in 0..80 {
        calls.push(tokio::spawn(Answered::receive(streams.begin("POST", "/").await)));
    }
    for call in calls {
        let answer = call.await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert!(backend.connections() > 10, "{}", backend.connections());
}

/// On one thread, as a worker has it: see `is_refused` in the unit's `retry.rs`.
#[tokio::test]
async fn what_a_backend_has_not_looked_at_when_it_ends_a_connection_is_sent_again() {
    for looked_at in 1..=3 {
        let mut patient = api("/", ends_within(looked_at));
        patient.response_timeout_ms = 10_000;
        let unit = Running::waiting();
        let (directory, serves) =
            (unit.directory.path().to_owned(), configuration(1, vec![patient]));
        let configured = spawn_blocking(move || control::configure(&directory, serves));
        assert!(matches!(configured.await.unwrap(), ControlAnswer::Configured(_)));
        let streams = Streams::connect(&unit).await;
        let mut calls = Vec::new();
        for _ in 0..3 {
            calls.push(tokio::spawn(Answered::receive(streams.begin("POST", "/").await)));
        }
        let mut failed = 0;
        for call in calls {
            let answer = call.await.unwrap();
            assert!(matches!(answer.status, 200 | 502), "{answer:?}");
            failed += u32::from(answer.status == 502);
        }
        // The first was answered; the others may have been acted on as far as it looked at them.
        assert_eq!(failed, looked_at - 1);
    }
}
