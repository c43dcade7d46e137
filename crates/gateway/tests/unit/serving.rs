use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use serde_json::Value;

use crate::streams::Backend;
use crate::support::{Caller, Running, api, config, configuration, run_directory};

const STATUS: &str = "/status-0123456789abcdef";

#[tokio::test(flavor = "multi_thread")]
async fn the_status_path_says_who_answers() {
    let unit = Running::start();
    let mut caller = Caller::connect(unit.address).unwrap();
    let answer = caller.call("GET", STATUS).unwrap();
    assert!(answer.head.starts_with("http/1.1 200 "), "{}", answer.head);
    assert!(answer.head.contains("content-type: application/json\r\n"), "{}", answer.head);
    let identity: Value = serde_json::from_str(&answer.body).unwrap();
    let expected = serde_json::json!({
        "cluster": "01932f5e-8b1a-7c3d-9e4f-0123456789ab",
        "service": "contoso",
        "region": "westeurope",
        "unit": "contoso/westeurope/2",
        "incarnation": 7,
        "agent": "we-1",
        "pid": std::process::id(),
        "build": env!("CARGO_PKG_VERSION"),
    });
    assert_eq!(identity, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_else_is_not_found_on_the_same_connection() {
    let unit = Running::start();
    let mut caller = Caller::connect(unit.address).unwrap();
    let others = [("GET", "/"), ("GET", "/status-0123456789abcdef0"), ("POST", STATUS)];
    for (method, path) in others {
        let answer = caller.call(method, path).unwrap();
        assert!(answer.head.starts_with("http/1.1 404 "), "{method} {path}: {}", answer.head);
        assert!(answer.head.contains("content-type: application/problem+json\r\n"));
        let problem: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!((&problem["status"], &problem["title"]), (&404.into(), &"Not Found".into()));
    }
    assert!(caller.call("GET", STATUS).unwrap().head.starts_with("http/1.1 200 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_does_not_finish_its_request_is_let_go() {
    let unit = Running::start();
    let mut slow = Caller::connect(unit.address).unwrap();
    slow.send("GET / HTTP/1.1\r\nHost:").unwrap();
    let mut silent = Caller::connect(unit.address).unwrap();
    assert!(slow.receive().is_err());
    assert!(silent.is_ended());
    let mut other = Caller::connect(unit.address).unwrap();
    assert!(other.call("GET", STATUS).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_unit_answers_what_still_comes_and_says_that_it_closes() {
    let unit = Running::start();
    let address = unit.address;
    let mut busy = Caller::connect(address).unwrap();
    let before = busy.call("GET", STATUS).unwrap();
    assert!(!before.head.contains("connection: close"), "{}", before.head);

    let ended = unit.shut_down();
    crate::support::eventually("the port refuses", || Caller::connect(address).is_err());
    let during = busy.call("GET", STATUS).unwrap();
    assert!(during.head.starts_with("http/1.1 200 "), "{}", during.head);
    assert!(during.head.contains("connection: close\r\n"), "{}", during.head);
    assert!(busy.is_ended());
    ended.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_an_idle_nor_a_stuck_connection_holds_a_drain_up() {
    let unit = Running::start();
    let mut idle = Caller::connect(unit.address).unwrap();
    idle.call("GET", STATUS).unwrap();
    let mut stuck = Caller::connect(unit.address).unwrap();
    stuck.send("GET / HTTP/1.1\r\nHost:").unwrap();
    unit.shut_down().await.unwrap();
    assert!(idle.is_ended());
    assert!(stuck.receive().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_spread_evenly_over_the_workers() {
    const CALLERS: usize = 60;
    // Each worker has one connection to the backend, and so its number stands for the worker.
    let backend = Backend::start(|call| async move {
        let connection = call.connection.to_string();
        call.answer(&connection);
    })
    .await;
    let mut patient = api("/", backend.url());
    patient.response_timeout_ms = 10_000;
    let directory = run_directory();
    let mut config = config(directory.path());
    config.workers = NonZeroUsize::new(3).unwrap();
    let unit = Running::as_of(config, directory);
    let mut serves = configuration(1, vec![patient]);
    // Callers wait for their turn longer than a head may take otherwise.
    serves.limits.as_mut().unwrap().header_timeout_ms = 20_000;
    unit.configure(serves);
    let mut callers: Vec<Caller> =
        (0..CALLERS).map(|_| Caller::connect(unit.address).unwrap()).collect();
    let mut calls = BTreeMap::<String, usize>::new();
    for caller in &mut callers {
        *calls.entry(caller.call("GET", "/").unwrap().body).or_default() += 1;
    }
    assert_eq!(calls.len(), 3, "{calls:?}");
    let (most, least) = (calls.values().max().unwrap(), calls.values().min().unwrap());
    assert!(most - least <= 2, "{calls:?}");
}
