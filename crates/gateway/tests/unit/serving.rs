use std::collections::BTreeMap;
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::num::NonZeroUsize;

use serde_json::Value;

use crate::http2_support::Backend;
use crate::support::{Client, Running, api, config, configuration, run_directory};

const STATUS: &str = "/status-0123456789abcdef";

#[tokio::test(flavor = "multi_thread")]
async fn the_status_path_returns_the_identity_of_the_unit_to_its_own_machine() {
    let unit = Running::start();
    let mut client = Client::connect(unit.address).unwrap();
    let response = client.request("GET", STATUS).unwrap();
    assert!(response.head.starts_with("http/1.1 200 "), "{}", response.head);
    assert!(response.head.contains("content-type: application/json\r\n"), "{}", response.head);
    let identity: Value = serde_json::from_str(&response.body).unwrap();
    let expected = serde_json::json!({
        "cluster": "01932f5e-8b1a-7c3d-9e4f-0123456789ab",
        "service": "contoso",
        "region": "westeurope",
        "ready": true,
        "unit": "contoso/westeurope/2",
        "incarnation": 7,
        "agent": "we-1",
        "pid": std::process::id(),
        "build": env!("CARGO_PKG_VERSION"),
    });
    assert_eq!(identity, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_a_proxy_forwarded_get_only_what_a_probe_needs() {
    let unit = Running::start();
    let expected = serde_json::json!({"service": "contoso", "region": "westeurope", "ready": true});
    for header in ["X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.1", "Via: 1.1 proxy"] {
        let mut client = Client::connect(unit.address).unwrap();
        let head = format!("GET {STATUS} HTTP/1.1\r\nHost: test\r\n{header}\r\n\r\n");
        client.send(&head).unwrap();
        let document: Value = serde_json::from_str(&client.receive().unwrap().body).unwrap();
        assert_eq!(document, expected, "{header}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_from_other_machines_get_only_what_a_probe_needs() {
    let directory = run_directory();
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let unit = Running::listening(config(directory.path()), directory, listener);
    unit.configure(configuration(9, Vec::new()));
    let Some(own) = own_address() else {
        eprintln!("skipped: this machine has only loopback addresses");
        return;
    };
    let mut client = Client::connect((own, unit.address.port()).into()).unwrap();
    let response = client.request("GET", STATUS).unwrap();
    let document: Value = serde_json::from_str(&response.body).unwrap();
    let expected = serde_json::json!({"service": "contoso", "region": "westeurope", "ready": true});
    assert_eq!(document, expected);
}

/// Returns an address of this machine other than loopback: the source of packets to elsewhere.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // A documentation address (RFC 5737); connecting a UDP socket sends nothing.
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|address| !address.is_loopback())
}

#[tokio::test(flavor = "multi_thread")]
async fn all_other_paths_are_not_found_and_the_connection_stays_open() {
    let unit = Running::start();
    let mut client = Client::connect(unit.address).unwrap();
    let others = [("GET", "/"), ("GET", "/status-0123456789abcdef0"), ("POST", STATUS)];
    for (method, path) in others {
        let response = client.request(method, path).unwrap();
        assert!(response.head.starts_with("http/1.1 404 "), "{method} {path}: {}", response.head);
        assert!(response.head.contains("content-type: application/problem+json\r\n"));
        let problem: Value = serde_json::from_str(&response.body).unwrap();
        assert_eq!((&problem["status"], &problem["title"]), (&404.into(), &"Not Found".into()));
    }
    assert!(client.request("GET", STATUS).unwrap().head.starts_with("http/1.1 200 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_finish_its_request_is_disconnected() {
    let unit = Running::start();
    let mut slow = Client::connect(unit.address).unwrap();
    slow.send("GET / HTTP/1.1\r\nHost:").unwrap();
    let mut silent = Client::connect(unit.address).unwrap();
    assert!(slow.receive().is_err());
    assert!(silent.is_ended());
    let mut other = Client::connect(unit.address).unwrap();
    assert!(other.request("GET", STATUS).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_unit_serves_further_requests_with_connection_close() {
    let unit = Running::start();
    let address = unit.address;
    let mut busy = Client::connect(address).unwrap();
    let before = busy.request("GET", STATUS).unwrap();
    assert!(!before.head.contains("connection: close"), "{}", before.head);

    let ended = unit.shut_down();
    crate::support::eventually("the port refuses connections", || {
        Client::connect(address).is_err()
    });
    let during = busy.request("GET", STATUS).unwrap();
    assert!(during.head.starts_with("http/1.1 200 "), "{}", during.head);
    assert!(during.head.contains("connection: close\r\n"), "{}", during.head);
    assert!(busy.is_ended());
    ended.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_and_stuck_connections_do_not_delay_a_drain() {
    let unit = Running::start();
    let mut idle = Client::connect(unit.address).unwrap();
    idle.request("GET", STATUS).unwrap();
    let mut stuck = Client::connect(unit.address).unwrap();
    stuck.send("GET / HTTP/1.1\r\nHost:").unwrap();
    unit.shut_down().await.unwrap();
    assert!(idle.is_ended());
    assert!(stuck.receive().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_spread_evenly_over_the_workers() {
    const CLIENTS: usize = 60;
    // Each worker has one connection to the backend, so the number of the connection identifies the
    // worker.
    let backend = Backend::start(|exchange| async move {
        let connection = exchange.connection.to_string();
        exchange.respond(&connection);
    })
    .await;
    let mut patient = api("/", backend.url());
    patient.response_timeout_ms = 10_000;
    let directory = run_directory();
    let mut config = config(directory.path());
    config.workers = NonZeroUsize::new(3).unwrap();
    let unit = Running::with_config(config, directory);
    let mut configuration = configuration(1, vec![patient]);
    // Clients wait for their turn longer than the header timeout otherwise allows.
    configuration.limits.as_mut().unwrap().header_timeout_ms = 20_000;
    unit.configure(configuration);
    let mut clients: Vec<Client> =
        (0..CLIENTS).map(|_| Client::connect(unit.address).unwrap()).collect();
    let mut requests = BTreeMap::<String, usize>::new();
    for client in &mut clients {
        *requests.entry(client.request("GET", "/").unwrap().body).or_default() += 1;
    }
    assert_eq!(requests.len(), 3, "{requests:?}");
    let (most, least) = (requests.values().max().unwrap(), requests.values().min().unwrap());
    assert!(most - least <= 2, "{requests:?}");
}
