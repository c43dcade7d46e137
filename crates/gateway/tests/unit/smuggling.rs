//! Request smuggling: requests that two parsers may interpret differently. None may reach a backend
//! in an ambiguous form: the unit refuses it, or forwards it in a form with one meaning.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::mpsc::{self, Receiver};

use crate::backend::raw;
use crate::support::{Client, Running, api, configuration};

/// A request as a strict backend parsed it.
#[derive(Debug)]
struct Received {
    head: String,
    body: String,
}

/// Starts a backend that reads requests to the end. Returns its URL and the requests that it
/// received.
fn strict() -> (String, Receiver<Received>) {
    let (sender, received) = mpsc::channel();
    let url = raw(move |stream, head| {
        let body = read_body(stream, &head.to_ascii_lowercase());
        sender.send(Received { head: head.to_owned(), body }).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").ok();
    });
    (url, received)
}

fn read_body(stream: &mut TcpStream, head: &str) -> String {
    let value = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
    let mut body = Vec::new();
    if let Some(length) = value("content-length: ") {
        body.resize(length.parse().unwrap(), 0);
        stream.read_exact(&mut body).unwrap();
    } else if value("transfer-encoding: ").is_some() {
        while !body.ends_with(b"0\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            body.extend(byte);
        }
    }
    String::from_utf8(body).unwrap()
}

/// Asserts that a strict parser and a lenient one interpret `head` in the same way.
fn assert_one_meaning(head: &str) {
    let lines: Vec<&str> = head.strip_suffix("\r\n\r\n").unwrap().split("\r\n").collect();
    assert!(!head.replace("\r\n", "").contains(['\r', '\n', '\0']), "{head:?}");
    assert_eq!(lines[0].split(' ').count(), 3, "{head:?}");
    let count = |name: &str| {
        let named = lines[1..].iter().filter(|line| {
            line.split_once(':').expect("a header has a colon").0.eq_ignore_ascii_case(name)
        });
        named.count()
    };
    assert_eq!(count("host"), 1, "{head:?}");
    assert!(count("content-length") + count("transfer-encoding") <= 1, "{head:?}");
    assert!(lines[1..].iter().all(|line| !line.starts_with([' ', '\t'])), "{head:?}");
    assert!(!head.to_ascii_lowercase().contains("\r\nconnection:"), "{head:?}");
}

/// Expected outcome of a request.
enum Expected {
    Refused,
    /// One request reaches the backend, with this body.
    Forwarded(&'static str),
}

use Expected::{Forwarded, Refused};

/// Requests and their expected outcomes.
const REQUESTS: &[(&str, Expected)] = &[
    // Lengths.
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde", Refused),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 5\r\n\r\nabcde", Refused),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        Forwarded("abc"),
    ),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc", Refused),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc", Refused),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\nabc", Refused),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc", Refused),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", Refused),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\nabc", Refused),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc", Refused),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Forwarded("abc")),
    // A length and an encoding, in either order and any spelling.
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n\
         0\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
        Refused,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n\
         0\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
        Refused,
    ),
    (
        "GET /status-0123456789abcdef HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\
         Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    // Encodings.
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        Forwarded("3\r\nabc\r\n0\r\n\r\n"),
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\n\r\n",
        Forwarded("3\r\nabc\r\n0\r\n\r\n"),
    ),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", Refused),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", Refused),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Refused),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\
         Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\
         Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused,
    ),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", Refused),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", Refused),
    ("POST / HTTP/1.1\r\nHost: a\r\nX: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Refused),
    ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Refused),
    // Chunks.
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nabc\r\n", Refused),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n", Refused),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
         fffffffffffffffff\r\nabc\r\n",
        Refused,
    ),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", Refused),
    // Lines.
    ("GET / HTTP/1.1\r\nHost: a\r\nX: a\rContent-Length: 5\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nHost: a\r\nX Y: z\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nHost: a\r\n: z\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", Refused),
    ("GET / HTTP/1.1\nHost: a\nX: y\n\n", Forwarded("")),
    ("GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", Forwarded("")),
    ("GET /x y HTTP/1.1\r\nHost: a\r\n\r\n", Refused),
    ("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", Refused),
    ("GET / HTTP/1.1 x\r\nHost: a\r\n\r\n", Refused),
    ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", Refused),
    ("GET /\r\n\r\n", Refused),
    // Hosts.
    ("GET / HTTP/1.1\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nHost:\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", Refused),
    ("GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", Refused),
    ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", Refused),
    ("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", Refused),
    ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", Refused),
    ("GET http://a/ HTTP/1.1\r\n\r\n", Refused),
    ("GET http://A/ HTTP/1.1\r\nHost: a\r\n\r\n", Forwarded("")),
    ("GET / HTTP/1.0\r\n\r\n", Forwarded("")),
    // Targets.
    ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", Refused),
    ("GET a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", Refused),
    ("GET x HTTP/1.1\r\nHost: a\r\n\r\n", Refused),
    ("GET /../x HTTP/1.1\r\nHost: a\r\n\r\n", Refused),
    ("GET /a/%2e%2e/x HTTP/1.1\r\nHost: a\r\n\r\n", Refused),
    ("GET /a\\..\\x HTTP/1.1\r\nHost: a\r\n\r\n", Refused),
    // A body with a method that rarely has one.
    (
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 28\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
        Forwarded("GET /x HTTP/1.1\r\nHost: a\r\n\r\n"),
    ),
    // Headers that Connection lists cannot remove the framing of a body.
    (
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: Content-Length, Host\r\nContent-Length: 3\r\n\r\nabc",
        Forwarded("3\r\nabc\r\n0\r\n\r\n"),
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: Transfer-Encoding\r\n\
         Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        Forwarded("3\r\nabc\r\n0\r\n\r\n"),
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn no_ambiguous_request_reaches_a_backend() {
    let (url, received) = strict();
    let unit = Running::serving(configuration(1, vec![api("/", url)]));
    for (request, expected) in REQUESTS {
        let mut client = Client::connect(unit.address).unwrap();
        client.send(request).unwrap();
        let response = client.receive();
        // Another request follows, so that leftover bytes of the first one would be noticed.
        let mut next = Client::connect(unit.address).unwrap();
        assert_eq!(next.request("GET", "/next").unwrap().status(), 200, "after {request:?}");
        let mut arrived: Vec<Received> = received.try_iter().collect();
        let last = arrived.pop().unwrap();
        assert!(last.head.starts_with("GET /next "), "{request:?}: {last:?}");
        arrived.iter().for_each(|request| assert_one_meaning(&request.head));
        match expected {
            Refused => {
                let status = response.map(|response| response.status());
                assert!(matches!(status, Ok(400)), "{request:?}: {status:?}");
                assert!(arrived.is_empty(), "{request:?}: {arrived:?}");
                assert!(client.is_ended(), "{request:?}: the connection stayed open");
            }
            Forwarded(body) => {
                assert_eq!(response.unwrap().status(), 200, "{request:?}");
                assert_eq!(arrived.len(), 1, "{request:?}: {arrived:?}");
                assert_eq!(arrived[0].body, *body, "{request:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunked_request_whose_head_was_not_scanned_ends_its_connection() {
    let (url, received) = strict();
    let unit = Running::serving(configuration(1, vec![api("/", url)]));
    let mut client = Client::connect(unit.address).unwrap();
    // The second head arrives while the first request is in flight.
    let first = "GET /first HTTP/1.1\r\nHost: a\r\n\r\n";
    let second = "POST /second HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\
                  Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /third HTTP/1.1\r\nHost: a\r\n\r\n";
    client.send(&format!("{first}{second}")).unwrap();
    assert_eq!(client.receive().unwrap().status(), 200);
    let response = client.receive().unwrap();
    assert_eq!(response.headers("connection"), ["close"], "{response:?}");
    assert!(client.is_ended());
    let heads: Vec<String> = received.try_iter().map(|request| request.head).collect();
    assert!(heads.iter().all(|head| !head.contains("/third")), "{heads:?}");
    heads.iter().for_each(|head| assert_one_meaning(head));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_cannot_respond_to_the_next_request_in_advance() {
    let url = raw(|stream, head| {
        let own = if head.starts_with("GET /a ") { "a" } else { "b" };
        let response = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{own}");
        let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
        stream.write_all(format!("{response}{evil}").as_bytes()).ok();
    });
    let unit = Running::serving(configuration(1, vec![api("/", url)]));
    let mut client = Client::connect(unit.address).unwrap();
    for path in ["/a", "/b", "/a", "/b"] {
        let response = client.request("GET", path).unwrap();
        // A request is sent again if its connection was closed; it must never get the response to
        // another one.
        assert_eq!(response.body, path[1..], "{response:?}");
    }
}
