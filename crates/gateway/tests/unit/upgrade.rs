use std::io::{Read as _, Write as _};
use std::sync::mpsc;
use std::time::Duration;

use crate::backend::raw;
use crate::control::identity;
use crate::support::{Client, Running, api, configuration, eventually};

const UPGRADE_REQUEST: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n\
                    Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Starts a backend that accepts upgrades, and then echoes what it receives in upper case.
fn uppercase_echo() -> String {
    raw(|stream, head| {
        let head = head.to_ascii_lowercase();
        if !head.contains("connection: upgrade\r\n") || !head.contains("upgrade: websocket\r\n") {
            stream
                .write_all(b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n")
                .unwrap();
            return;
        }
        // The first data comes in the same packet as the head.
        let response = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                      Upgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nHELLO ";
        stream.write_all(response.as_bytes()).unwrap();
        let mut received = [0; 1024];
        while let Ok(length @ 1..) = stream.read(&mut received) {
            received[..length].make_ascii_uppercase();
            if stream.write_all(&received[..length]).is_err() {
                break;
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_is_a_tunnel() {
    let unit = Running::serving(configuration(1, vec![api("/", uppercase_echo())]));
    let mut client = Client::connect(unit.address).unwrap();
    client.send(UPGRADE_REQUEST).unwrap();
    let head = client.receive_head().unwrap();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    for field in ["connection: upgrade\r\n", "upgrade: websocket\r\n", "sec-websocket-accept: x"] {
        assert!(head.contains(field), "{head}");
    }
    assert_eq!(client.receive_bytes(6).unwrap(), "HELLO ");
    for _ in 0..5 {
        client.send("abc").unwrap();
        assert_eq!(client.receive_bytes(3).unwrap(), "ABC");
        std::thread::sleep(Duration::from_millis(150));
    }
    assert_eq!(identity(&unit).load.unwrap().in_flight, 1);
    assert!(client.is_ended(), "an idle tunnel is closed");
    eventually("the request has ended", || identity(&unit).load.unwrap().in_flight == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_cannot_be_upgraded_is_forwarded_as_an_ordinary_one() {
    let (heads, received) = mpsc::channel();
    let url = raw(move |stream, head| {
        heads.send(head.to_ascii_lowercase()).unwrap();
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    });
    let unit = Running::serving(configuration(1, vec![api("/", url)]));
    let mut client = Client::connect(unit.address).unwrap();
    let h2c = UPGRADE_REQUEST.replace("websocket\r", "h2c\r");
    let unnamed = UPGRADE_REQUEST.replace(", Upgrade", "");
    let body = UPGRADE_REQUEST.replace("Host: a\r\n", "Host: a\r\nContent-Length: 0\r\n");
    for (request, is_upgrade) in
        [(h2c, false), (unnamed, false), (body, true), (UPGRADE_REQUEST.to_owned(), true)]
    {
        client.send(&request).unwrap();
        assert_eq!(client.receive().unwrap().status(), 204);
        let head = received.recv().unwrap();
        assert_eq!(head.contains("\r\nupgrade:"), is_upgrade, "{head}");
        assert_eq!(head.contains("\r\nconnection: upgrade\r\n"), is_upgrade, "{head}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsolicited_upgrade_by_the_backend_is_a_bad_gateway() {
    let url = raw(|stream, _| {
        let response =
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
        stream.write_all(response.as_bytes()).ok();
    });
    let unit = Running::serving(configuration(1, vec![api("/", url)]));
    let mut client = Client::connect(unit.address).unwrap();
    assert_eq!(client.request("GET", "/").unwrap().problem().0, 502);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_does_not_delay_a_drain() {
    let mut api = api("/", uppercase_echo());
    api.idle_timeout_ms = 60_000;
    let unit = Running::serving(configuration(1, vec![api]));
    let mut client = Client::connect(unit.address).unwrap();
    client.send(UPGRADE_REQUEST).unwrap();
    client.receive_head().unwrap();
    assert_eq!(client.receive_bytes(6).unwrap(), "HELLO ");
    let ended = unit.shut_down();
    client.send("abc").unwrap();
    assert_eq!(client.receive_bytes(3).unwrap(), "ABC", "a tunnel continues during a drain");
    assert!(client.is_ended());
    ended.await.unwrap();
}
