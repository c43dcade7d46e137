//! Calls that two readers may understand in two ways. None may reach a backend like that: it is
//! refused, or forwarded in a form that has one meaning.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::mpsc::{self, Receiver};

use crate::backend::raw;
use crate::support::{Caller, Running, api, configuration};

/// A call as a strict backend understood it.
#[derive(Debug)]
struct Seen {
    head: String,
    body: String,
}

/// A backend that reads calls to their ends, and what it saw.
fn strict() -> (String, Receiver<Seen>) {
    let (sender, seen) = mpsc::channel();
    let url = raw(move |stream, head| {
        let body = read_body(stream, &head.to_ascii_lowercase());
        sender.send(Seen { head: head.to_owned(), body }).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").ok();
    });
    (url, seen)
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

/// Asserts that a strict reader and a lenient one understand `head` in the same way.
fn assert_one_meaning(head: &str) {
    let lines: Vec<&str> = head.strip_suffix("\r\n\r\n").unwrap().split("\r\n").collect();
    assert!(!head.replace("\r\n", "").contains(['\r', '\n', '\0']), "{head:?}");
    assert_eq!(lines[0].split(' ').count(), 3, "{head:?}");
    let count = |name: &str| {
        let named = lines[1..].iter().filter(|line| {
            line.split_once(':').expect("a field has a colon").0.eq_ignore_ascii_case(name)
        });
        named.count()
    };
    assert_eq!(count("host"), 1, "{head:?}");
    assert!(count("content-length") + count("transfer-encoding") <= 1, "{head:?}");
    assert!(lines[1..].iter().all(|line| !line.starts_with([' ', '\t'])), "{head:?}");
    assert!(!head.to_ascii_lowercase().contains("\r\nconnection:"), "{head:?}");
}

/// How a call ends.
enum Expected {
    Refused,
    /// One call reaches the backend, with this body.
    Forwarded(&'static str),
}

use Expected::{Forwarded, Refused};

/// Calls, and what becomes of them.
const CALLS: &[(&str, Expected)] = &[
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
    // A length and an encoding, in either order and however written.
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
    // A body where few expect one.
    (
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 28\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
        Forwarded("GET /x HTTP/1.1\r\nHost: a\r\n\r\n"),
    ),
    // What Connection names cannot take the frame of a body away.
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
async fn no_call_reaches_a_backend_that_could_be_understood_in_two_ways() {
    let (url, seen) = strict();
    let unit = Running::serving(configuration(1, vec![api("/", url)]));
    for (call, expected) in CALLS {
        let mut caller = Caller::connect(unit.address).unwrap();
        caller.send(call).unwrap();
        let answer = caller.receive();
        // One call after it, so that what was left over of it would be seen.
        let mut next = Caller::connect(unit.address).unwrap();
        assert_eq!(next.call("GET", "/next").unwrap().status(), 200, "after {call:?}");
        let mut arrived: Vec<Seen> = seen.try_iter().collect();
        let last = arrived.pop().unwrap();
        assert!(last.head.starts_with("GET /next "), "{call:?}: {last:?}");
        arrived.iter().for_each(|seen| assert_one_meaning(&seen.head));
        match expected {
            Refused => {
                let status = answer.map(|answer| answer.status());
                assert!(matches!(status, Ok(400)), "{call:?}: {status:?}");
                assert!(arrived.is_empty(), "{call:?}: {arrived:?}");
                assert!(caller.is_ended(), "{call:?}: the connection stayed open");
            }
            Forwarded(body) => {
                assert_eq!(answer.unwrap().status(), 200, "{call:?}");
                assert_eq!(arrived.len(), 1, "{call:?}: {arrived:?}");
                assert_eq!(arrived[0].body, *body, "{call:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunked_call_whose_head_was_not_looked_at_ends_its_connection() {
    let (url, seen) = strict();
    let unit = Running::serving(configuration(1, vec![api("/", url)]));
    let mut caller = Caller::connect(unit.address).unwrap();
    // The second head comes while the first call runs.
    let first = "GET /first HTTP/1.1\r\nHost: a\r\n\r\n";
    let second = "POST /second HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\
                  Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /third HTTP/1.1\r\nHost: a\r\n\r\n";
    caller.send(&format!("{first}{second}")).unwrap();
    assert_eq!(caller.receive().unwrap().status(), 200);
    let answer = caller.receive().unwrap();
    assert_eq!(answer.fields("connection"), ["close"], "{answer:?}");
    assert!(caller.is_ended());
    let heads: Vec<String> = seen.try_iter().map(|seen| seen.head).collect();
    assert!(heads.iter().all(|head| !head.contains("/third")), "{heads:?}");
    heads.iter().for_each(|head| assert_one_meaning(head));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_cannot_answer_the_next_call_ahead() {
    let url = raw(|stream, head| {
        let own = if head.starts_with("GET /a ") { "a" } else { "b" };
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{own}");
        let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
        stream.write_all(format!("{answer}{evil}").as_bytes()).ok();
    });
    let unit = Running::serving(configuration(1, vec![api("/", url)]));
    let mut caller = Caller::connect(unit.address).unwrap();
    for path in ["/a", "/b", "/a", "/b"] {
        let answer = caller.call("GET", path).unwrap();
        // Sent again where the connection was closed under it; never someone else's answer.
        assert_eq!(answer.body, path[1..], "{answer:?}");
    }
}
