use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::client::conn::http2;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Sleep, sleep};

use crate::backend::{Backend, canned, raw};
use crate::http2_support::Http2Client;
use crate::support::{Client, Running, api, configuration};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_routed_by_the_longest_matching_path() {
    let backend = Backend::echo().await;
    let apis = vec![
        api("/", backend.url("")),
        api("/orders", backend.url("/v2/")),
        api("/orders/eu", backend.url("/eu")),
    ];
    let unit = Running::serving(configuration(1, apis));
    let mut client = Client::connect(unit.address).unwrap();
    for (path, expected) in [
        ("/", "/"),
        ("/?a=b", "/?a=b"),
        ("/ordersx", "/ordersx"),
        ("/orders", "/v2"),
        ("/orders/", "/v2/"),
        ("/orders/5/items?first=1&x=%20", "/v2/5/items?first=1&x=%20"),
        ("/orders/eu/5", "/eu/5"),
        ("http://test/orders/7?q", "/v2/7?q"),
    ] {
        let response = client.request("GET", path).unwrap();
        assert_eq!(response.status(), 200, "{response:?}");
        let line = response.body.lines().next().unwrap();
        assert_eq!(line, format!("GET {expected}"), "{path}");
    }
    assert_eq!(backend.connections.load(Ordering::Relaxed), 1, "the connection is reused");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backend_gets_the_client_address_and_no_hop_by_hop_headers() {
    let backend = Backend::echo().await;
    let unit = Running::serving(configuration(1, vec![api("/", backend.url(""))]));
    let mut client = Client::connect(unit.address).unwrap();
    client
        .send(
            "GET /x HTTP/1.1\r\nHost: shop.example:8080\r\nConnection: keep-alive, X-Private\r\n\
             X-Private: 1\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\nProxy-Connection: close\r\n\
             Proxy-Authorization: Basic eDp5\r\nX-Forwarded-For: 203.0.113.9\r\n\
             X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\nVia: 1.0 edge\r\n\
             Forwarded: for=203.0.113.9\r\nX-Kept: yes\r\n\r\n",
        )
        .unwrap();
    let response = client.receive().unwrap();
    assert_eq!(response.headers("via"), ["1.1 contoso.westeurope.2"]);
    let mut headers: Vec<&str> = response.body.lines().skip(1).filter(|l| !l.is_empty()).collect();
    headers.sort_unstable();
    let trace = headers.iter().position(|header| header.starts_with("traceparent: 00-")).unwrap();
    assert_eq!(headers.remove(trace).len(), "traceparent: ".len() + 55);
    let expected = [
        "forwarded: for=203.0.113.9, for=127.0.0.1;proto=http;host=\"shop.example:8080\"",
        &format!("host: {}", backend.address),
        "via: 1.0 edge, 1.1 contoso.westeurope.2",
        "x-forwarded-for: 203.0.113.9, 127.0.0.1",
        "x-forwarded-host: shop.example:8080",
        "x-forwarded-proto: http",
        "x-kept: yes",
    ];
    assert_eq!(headers, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_streamed_in_both_directions() {
    let backend = Backend::echo().await;
    let unit = Running::serving(configuration(1, vec![api("/", backend.url(""))]));
    let mut client = Client::connect(unit.address).unwrap();
    let long = "0123456789".repeat(100_000);
    client
        .send(&format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{long}",
            long.len()
        ))
        .unwrap();
    let response = client.receive().unwrap();
    assert!(response.body.ends_with(&long), "{} bytes", response.body.len());
    assert!(response.body.contains("content-length: 1000000\n"));
    for method in ["POST", "GET"] {
        client
            .send(&format!(
                "{method} / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                 3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
            ))
            .unwrap();
        let response = client.receive().unwrap();
        assert!(response.body.ends_with("\n\nabcde"), "{}", response.body);
    }
    let head =
        client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").and_then(|()| client.receive_head());
    assert!(head.unwrap().contains("content-length: "));
    assert_eq!(client.request("GET", "/").unwrap().status(), 200);
    assert_eq!(backend.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_part_of_a_response_does_not_wait_for_the_rest() {
    let (resume, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let url = raw(move |stream, _| {
        use std::io::Write as _;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
            .unwrap();
        wait.lock().unwrap().recv_timeout(Duration::from_secs(20)).unwrap();
        stream.write_all(b"2\r\nde\r\n0\r\n\r\n").unwrap();
    });
    let mut slow = api("/", url);
    slow.idle_timeout_ms = 30_000;
    let unit = Running::serving(configuration(1, vec![slow]));
    let mut client = Client::connect(unit.address).unwrap();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let head = client.receive_head().unwrap();
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    assert_eq!(client.receive_bytes(8).unwrap(), "3\r\nabc\r\n");
    resume.send(()).unwrap();
    assert_eq!(client.receive_bytes(12).unwrap(), "2\r\nde\r\n0\r\n\r\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_may_use_http2_with_prior_knowledge() {
    let backend = Backend::echo().await;
    let unit = Running::serving(configuration(1, vec![api("/a", backend.url("/b"))]));
    let stream = TcpStream::connect(unit.address).await.unwrap();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let requests: Vec<_> = (0..20)
        .map(|n| {
            let request = Request::post(format!("http://shop.example/a/{n}"))
                .header("cookie", "a=1")
                .header("cookie", "b=2")
                .body(Full::new(Bytes::from(format!("body {n}"))))
                .unwrap();
            tokio::spawn(sender.send_request(request))
        })
        .collect();
    for (n, request) in requests.into_iter().enumerate() {
        let response = request.await.unwrap().unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body = str::from_utf8(&body).unwrap();
        assert!(body.starts_with(&format!("POST /b/{n}\n")), "{body}");
        assert!(body.ends_with(&format!("\n\nbody {n}")), "{body}");
        for field in ["cookie: a=1; b=2\n", "via: 2 contoso.westeurope.2\n", "host: 127.0.0.1:"] {
            assert!(body.contains(field), "{body}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_region_rejects_requests_but_serves_its_status() {
    let backend = Backend::echo().await;
    let mut disabled = configuration(1, vec![api("/", backend.url(""))]);
    disabled.enabled = false;
    let unit = Running::serving(disabled.clone());
    let get = |path| Client::connect(unit.address).unwrap().request("GET", path).unwrap();
    let response = get("/orders");
    assert_eq!(response.problem().0, 503);
    assert_eq!(response.headers("retry-after"), ["1"]);
    assert_eq!(response.headers("connection"), ["close"]);
    assert_eq!(get("/status-0123456789abcdef").status(), 200);
    disabled.enabled = true;
    unit.configure(disabled);
    assert_eq!(get("/orders").status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_of_a_region_that_is_disabled_leave_before_they_are_refused() {
    let backend = Backend::echo().await;
    let mut settings = configuration(1, vec![api("/", backend.url(""))]);
    let unit = Running::serving(settings.clone());
    let connect = async || {
        let stream = TcpStream::connect(unit.address).await.unwrap();
        let io = TokioIo::new(stream);
        let (sender, connection) =
            http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), io).await.unwrap();
        (sender, tokio::spawn(connection))
    };
    let mut idle = Client::connect(unit.address).unwrap();
    assert_eq!(idle.request("GET", "/orders").unwrap().status(), 200);
    let mut persistent = Client::connect(unit.address).unwrap();
    assert_eq!(persistent.request("GET", "/orders").unwrap().status(), 200);
    let (_sender, connection) = connect().await;

    let disabled = Instant::now();
    (settings.revision, settings.enabled) = (2, false);
    unit.configure(settings);
    let response = persistent.request("GET", "/orders").unwrap();
    assert_eq!((response.status(), response.headers("connection")), (200, vec!["close"]));
    // Connections without a request in flight end by GOAWAY, also those that are opened now.
    let (_sender, opened_now) = connect().await;
    for connection in [connection, opened_now] {
        let ended = tokio::time::timeout(Duration::from_secs(1), connection).await;
        ended.expect("the connection ends").unwrap().unwrap();
    }
    let mut responses = Vec::new();
    while disabled.elapsed() < Duration::from_millis(2_500) {
        let status =
            Client::connect(unit.address).unwrap().request("GET", "/orders").unwrap().status();
        responses.push(status);
        sleep(Duration::from_millis(50)).await;
    }
    responses.dedup();
    assert_eq!(responses, [200, 503]);
    idle.request("GET", "/orders").expect_err("the idle connection was closed before");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_backend_is_reported_as_a_problem_in_time() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let refusing = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let good = Backend::echo().await;
    let apis = vec![
        api("/refuses", refusing.clone()),
        api("/closes", canned("")),
        api("/garbage", canned("SSH-2.0-OpenSSH_9.2\r\n\r\n")),
        api("/silent", raw(|_, _| std::thread::sleep(Duration::from_secs(5)))),
        api("/unresolved", "http://backend.invalid".to_owned()),
        api("/good", good.url("")),
    ];
    let unit = Running::serving(configuration(1, apis));
    let mut client = Client::connect(unit.address).unwrap();
    for (path, status) in [
        ("/refuses", 502),
        ("/closes", 502),
        ("/garbage", 502),
        ("/silent", 504),
        ("/unresolved", 502),
    ] {
        let begin = Instant::now();
        let response = client.request("GET", path).unwrap();
        let (got, detail) = response.problem();
        // A name server may be slower than the timeout of this API.
        assert!(got == status || (path == "/unresolved" && got == 504), "{path}: {response:?}");
        assert!(!detail.contains("127.0.0.1") && !response.head.contains("127.0.0.1"));
        assert!(begin.elapsed() < Duration::from_secs(3), "{path}: {:?}", begin.elapsed());
        assert_eq!(client.request("GET", "/good").unwrap().status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_lost_when_the_backend_closes_an_idle_connection() {
    // Each connection serves one response, but the backend does not announce that.
    let url = canned("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let unit = Running::serving(configuration(1, vec![api("/", url)]));
    let mut client = Client::connect(unit.address).unwrap();
    for request in 0..200 {
        let response = client.request("GET", "/").unwrap();
        assert_eq!((response.status(), response.body.as_str()), (200, "ok"), "request {request}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_flight_finish_on_the_previous_configuration() {
    let (old, new) = (
        Backend::start(|_| async {
            sleep(Duration::from_millis(300)).await;
            Response::new(Full::from("old"))
        })
        .await,
        Backend::start(|_| async { Response::new(Full::from("new")) }).await,
    );
    let mut slow = api("/", old.url(""));
    slow.response_timeout_ms = 10_000;
    let unit = Running::serving(configuration(1, vec![slow]));
    let mut client = Client::connect(unit.address).unwrap();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    while old.connections.load(Ordering::Relaxed) == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    unit.configure(configuration(2, vec![api("/", new.url(""))]));
    assert_eq!(client.receive().unwrap().body, "old");
    assert_eq!(client.request("GET", "/").unwrap().body, "new");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_unit_finishes_its_http2_streams() {
    let backend = Backend::start(|_| async {
        sleep(Duration::from_millis(200)).await;
        Response::new(Full::from("done"))
    })
    .await;
    let unit = Running::serving(configuration(1, vec![api("/", backend.url(""))]));
    let stream = TcpStream::connect(unit.address).await.unwrap();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("http://shop.example/").body(Empty::<Bytes>::new()).unwrap();
    let request = tokio::spawn(sender.send_request(request));
    while backend.connections.load(Ordering::Relaxed) == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    let ended = unit.shut_down();
    let response = request.await.unwrap().unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "done");
    // GOAWAY ends the connection while the client still holds its side of it.
    connection.await.unwrap().unwrap();
    ended.await.unwrap();
}

/// A connection from which a little is read every millisecond.
struct Slow {
    stream: TcpStream,
    pause: Option<Pin<Box<Sleep>>>,
}

impl AsyncRead for Slow {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
        }
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.pause = Some(Box::pin(sleep(Duration::from_millis(1))));
        polled
    }
}

impl AsyncWrite for Slow {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// An HTTP/2 client sends window updates all the time. Those that arrive after the unit has closed
/// the connection must not make the kernel discard the end of the response.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_http2_client_gets_the_end_of_its_response_during_a_drain() {
    const LENGTH: usize = 256 << 10;
    let backend = Backend::start(|_| async { Response::new(Full::from(vec![b'x'; LENGTH])) }).await;
    let unit = Running::serving(configuration(1, vec![api("/", backend.url(""))]));
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let slow = Slow { stream: socket.connect(unit.address).await.unwrap(), pause: None };
    let client = Http2Client::over(slow).await;
    let response = client.begin("GET", "/").await.await.unwrap();
    let ended = unit.shut_down();
    let mut body = response.into_body();
    let mut length = 0;
    while let Some(data) = body.data().await {
        length += data.as_ref().expect("the response is complete").len();
        body.flow_control().release_capacity(data.unwrap().len()).unwrap();
    }
    assert_eq!(length, LENGTH);
    drop(client);
    ended.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_returns_to_its_gateway_is_rejected_as_a_loop() {
    let unit = Running::serving(configuration(1, vec![]));
    let itself = format!("http://{}/again", unit.address);
    unit.configure(configuration(2, vec![api("/", itself)]));
    let response = Client::connect(unit.address).unwrap().request("GET", "/").unwrap();
    assert_eq!(response.status(), 508, "{response:?}");
    assert!(
        response.body.contains("the backend of this API leads back to this gateway"),
        "{response:?}"
    );
    assert!(!response.body.contains(&unit.address.to_string()), "{response:?}");
}
