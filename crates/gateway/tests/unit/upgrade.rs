use std::io::{Read as _, Write as _};
use std::sync::mpsc;
use std::time::Duration;

use crate::backend::raw;
use crate::control::identity;
use crate::support::{Caller, Running, api, configuration, eventually};

const WISH: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n\
                    Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A backend that leaves HTTP where it is asked to, and then says in capitals what it hears.
fn shouting() -> String {
    raw(|stream, head| {
        let head = head.to_ascii_lowercase();
        if !head.contains("connection: upgrade\r\n") || !head.contains("upgrade: websocket\r\n") {
            stream
                .write_all(b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n")
                .unwrap();
            return;
        }
        // The first words come in the same packet as the head.
        let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                      Upgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nHELLO ";
        stream.write_all(answer.as_bytes()).unwrap();
        let mut heard = [0; 1024];
        while let Ok(length @ 1..) = stream.read(&mut heard) {
            heard[..length].make_ascii_uppercase();
            if stream.write_all(&heard[..length]).is_err() {
                break;
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_is_a_tunnel() {
    let unit = Running::serving(configuration(1, vec![api("/", shouting())]));
    let mut caller = Caller::connect(unit.address).unwrap();
    caller.send(WISH).unwrap();
    let head = caller.receive_head().unwrap();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    for field in ["connection: upgrade\r\n", "upgrade: websocket\r\n", "sec-websocket-accept: x"] {
        assert!(head.contains(field), "{head}");
    }
    assert_eq!(caller.receive_bytes(6).unwrap(), "HELLO ");
    for _ in 0..5 {
        caller.send("abc").unwrap();
        assert_eq!(caller.receive_bytes(3).unwrap(), "ABC");
        std::thread::sleep(Duration::from_millis(150));
    }
    assert_eq!(identity(&unit).load.unwrap().in_flight, 1);
    assert!(caller.is_ended(), "a tunnel that stands still is closed");
    eventually("the call has ended", || identity(&unit).load.unwrap().in_flight == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_tunnel_is_an_ordinary_call() {
    let (heads, seen) = mpsc::channel();
    let url = raw(move |stream, head| {
        heads.send(head.to_ascii_lowercase()).unwrap();
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    });
    let unit = Running::serving(configuration(1, vec![api("/", url)]));
    let mut caller = Caller::connect(unit.address).unwrap();
    let h2c = WISH.replace("websocket\r", "h2c\r");
    let unnamed = WISH.replace(", Upgrade", "");
    let body = WISH.replace("Host: a\r\n", "Host: a\r\nContent-Length: 0\r\n");
    for (call, asks) in [(h2c, false), (unnamed, false), (body, true), (WISH.to_owned(), true)] {
        caller.send(&call).unwrap();
        assert_eq!(caller.receive().unwrap().status(), 204);
        let head = seen.recv().unwrap();
        assert_eq!(head.contains("\r\nupgrade:"), asks, "{head}");
        assert_eq!(head.contains("\r\nconnection: upgrade\r\n"), asks, "{head}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_leaves_http_unasked_has_failed() {
    let url = raw(|stream, _| {
        let answer =
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
        stream.write_all(answer.as_bytes()).ok();
    });
    let unit = Running::serving(configuration(1, vec![api("/", url)]));
    let mut caller = Caller::connect(unit.address).unwrap();
    assert_eq!(caller.call("GET", "/").unwrap().problem().0, 502);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_does_not_hold_a_drain_up() {
    let mut api = api("/", shouting());
    api.idle_timeout_ms = 60_000;
    let unit = Running::serving(configuration(1, vec![api]));
    let mut caller = Caller::connect(unit.address).unwrap();
    caller.send(WISH).unwrap();
    caller.receive_head().unwrap();
    assert_eq!(caller.receive_bytes(6).unwrap(), "HELLO ");
    let ended = unit.shut_down();
    caller.send("abc").unwrap();
    assert_eq!(caller.receive_bytes(3).unwrap(), "ABC", "a tunnel goes on in a drain");
    assert!(caller.is_ended());
    ended.await.unwrap();
}
