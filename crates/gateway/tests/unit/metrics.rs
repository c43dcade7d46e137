use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

use http_body_util::Full;
use hyper::Response;
use meridian_proto::v1::unit_response::Response as ControlResponse;
use meridian_proto::v1::{AccessLog, StatusClassCount, UnitMetrics};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::backend::{Backend, raw};
use crate::control::{configure, metrics};
use crate::support::{
    Client, Running, api, configuration, eventually, listener, run_directory, spawn_with,
};

const STATUS: &str = "/status-0123456789abcdef";

fn classes(counts: &[StatusClassCount]) -> Vec<(u32, u64)> {
    counts.iter().map(|count| (count.class, count.requests)).collect()
}

fn api_classes(metrics: &UnitMetrics, api: &str) -> Vec<(u32, u64)> {
    classes(&metrics.apis.iter().find(|metrics| metrics.api == api).unwrap().statuses)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_by_api_status_and_duration() {
    let slow = Backend::start(|_| async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        Response::new(Full::from("slow"))
    })
    .await;
    let broken = raw(|stream, _| stream.shutdown(std::net::Shutdown::Both).unwrap());
    let apis = vec![api("/slow", slow.url("")), api("/broken", broken)];
    let unit = Running::serving(configuration(1, apis.clone()));
    let mut client = Client::connect(unit.address).unwrap();
    for (path, status) in
        [("/slow", 200), ("/slow", 200), ("/broken", 502), ("/other", 404), (STATUS, 200)]
    {
        assert_eq!(client.request("GET", path).unwrap().status(), status);
    }
    eventually("all requests are counted", || {
        classes(&metrics(&unit).unrouted) == [(2, 1), (4, 1)]
    });
    // A configuration change resets no counters.
    unit.configure(configuration(2, apis));
    let counted = metrics(&unit);
    assert_eq!(
        (api_classes(&counted, "/slow"), api_classes(&counted, "/broken")),
        (vec![(2, 2)], vec![(5, 1)])
    );
    assert_eq!((counted.connections, counted.load.unwrap().in_flight), (1, 0));
    let slow = counted.apis.iter().find(|metrics| metrics.api == "/slow").unwrap();
    assert!(slow.latency_sum_us >= 60_000, "{slow:?}");
    let within =
        |us| slow.latency.iter().find(|bucket| bucket.upper_bound_us == us).unwrap().requests;
    assert_eq!((within(25_000), within(0)), (0, 2));
    drop(client);
    eventually("the connection has ended", || metrics(&unit).connections == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_client_disconnects_is_counted() {
    let backend = Backend::start(|_| async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        Response::new(Full::from(""))
    })
    .await;
    let mut api = api("/", backend.url(""));
    api.response_timeout_ms = 10_000;
    let unit = Running::serving(configuration(1, vec![api]));
    let mut client = Client::connect(unit.address).unwrap();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    eventually("the request is in flight", || metrics(&unit).load.unwrap().in_flight == 1);
    drop(client);
    eventually("the request is counted", || api_classes(&metrics(&unit), "/") == [(4, 1)]);
    assert_eq!(metrics(&unit).load.unwrap().in_flight, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_log_has_a_line_for_each_request_once_it_is_enabled() {
    let backend = Backend::start(|_| async { Response::new(Full::from("hello")) }).await;
    let (directory, listener) = (run_directory(), listener());
    let address = listener.local_addr().unwrap();
    let mut unit = spawn_with(directory.path(), &listener, Stdio::piped());
    let mut output = BufReader::new(unit.stdout.take().unwrap()).lines();
    let serve = |revision, mode: AccessLog| {
        let mut configuration = configuration(revision, vec![api("/a", backend.url(""))]);
        configuration.access_log = mode.into();
        eventually("the control socket is open", || {
            std::os::unix::net::UnixStream::connect(directory.path().join("u7.sock")).is_ok()
        });
        let response = configure(directory.path(), configuration);
        assert!(matches!(response, ControlResponse::Configured(_)), "{response:?}");
    };
    let mut client = None;
    let mut request = |path: &str| {
        let client = client.get_or_insert_with(|| Client::connect(address).unwrap());
        client.request("GET", path).unwrap();
    };
    serve(1, AccessLog::Off);
    request("/a/1?key=secret");
    serve(2, AccessLog::Path);
    request("/a/2?key=secret");
    serve(3, AccessLog::Query);
    request("/b?key=open");
    let mut next = || -> Value {
        let line = output.find_map(|line| line.ok().filter(|line| line.starts_with('{')));
        serde_json::from_str(&line.unwrap()).unwrap()
    };
    let (path, query) = (next(), next());
    assert_eq!(
        (&path["path"], &path["api"], &path["status"], &path["bytes"]),
        (&"/a/2".into(), &"/a".into(), &200.into(), &5.into()),
        "{path}"
    );
    assert!(!path.to_string().contains("secret"), "{path}");
    assert_eq!(
        (&query["path"], &query["query"], &query["status"], &query["host"]),
        (&"/b".into(), &"key=open".into(), &404.into(), &"test".into()),
        "{query}"
    );
    // The last line is written although the unit exits.
    request("/b?key=last");
    kill_process(Pid::from_child(&unit), Signal::TERM).unwrap();
    assert_eq!(next()["query"], "key=last");
    drop(client);
    unit.wait().unwrap();
}
