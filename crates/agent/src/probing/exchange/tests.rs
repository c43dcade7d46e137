use std::net::SocketAddr;

use meridian_domain::{RegionName, ServiceName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const DOCUMENT: &str = r#"{"service":"contoso","region":"eastus","ready":true}"#;
const REACHED: Result<Reached, Failure> = Ok(Reached { names_itself: true });
/// Timeout of a probe that succeeds.
const TIMEOUT: Duration = Duration::from_secs(20);

fn probe(address: SocketAddr, timeout: Duration) -> Probe {
    let service = ServiceName::new("contoso").expect("is a name");
    Probe {
        host: address.ip().to_string(),
        gateway: Gateway { service, port: address.port() },
        region: RegionName::new("eastus").expect("is a name"),
        must_name_itself: false,
        timeout,
    }
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("is bound");
    (listener, address)
}

/// Reads a request head.
async fn receive(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") {
        text.push(stream.read_u8().await.expect("a request is received").into());
    }
    text
}

async fn respond(stream: &mut TcpStream, headers: &str, body: &str) {
    let length = body.len();
    let response = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
    stream.write_all(response.as_bytes()).await.expect("the response is sent");
}

#[tokio::test]
async fn a_connection_is_used_again_and_replaced_once_the_gateway_has_closed_it() {
    let (listener, address) = listener().await;
    let (dialer, probe) = (Dialer::default(), probe(address, TIMEOUT));
    let serve = async |stream: &mut TcpStream, headers: &str| {
        let head = receive(stream).await;
        respond(stream, headers, DOCUMENT).await;
        head
    };

    let opened = async {
        let (mut stream, _) = listener.accept().await.expect("is accepted");
        (serve(&mut stream, "").await, stream)
    };
    let ((result, idle), (head, mut stream)) = tokio::join!(run(&dialer, &probe, None), opened);
    assert_eq!(result, REACHED);
    let (line, host) = (format!("GET {STATUS_PATH} HTTP/1.1\r\n"), format!("host: {address}\r\n"));
    assert!(head.starts_with(&line) && head.contains(&host), "{head}");

    assert!(idle.is_some());
    let ((result, idle), _) = tokio::join!(run(&dialer, &probe, idle), serve(&mut stream, ""));
    assert_eq!(result, REACHED);

    assert!(idle.is_some());
    drop(stream);
    let reopened = async {
        let (mut stream, _) = listener.accept().await.expect("is accepted");
        serve(&mut stream, "connection: close\r\n").await
    };
    let ((result, idle), _) = tokio::join!(run(&dialer, &probe, idle), reopened);
    assert_eq!(result, REACHED);
    assert!(idle.is_none(), "the gateway closes the connection");
}

#[tokio::test]
async fn a_refused_a_silent_and_an_interrupted_probe_fail() {
    let (listener, address) = listener().await;
    let dialer = Dialer::default();
    let short = Duration::from_millis(50);
    let (result, _) = run(&dialer, &probe(address, short), None).await;
    assert_eq!(result, Err(Failure::TimedOut), "nobody accepts");

    let interrupting = async {
        loop {
            let (mut stream, _) = listener.accept().await.expect("is accepted");
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-le").await.ok();
        }
    };
    let probe = probe(address, TIMEOUT);
    tokio::select! {
        (result, _) = run(&dialer, &probe, None) => assert_eq!(result, Err(Failure::Failed)),
        () = interrupting => unreachable!("accepts forever"),
    }
    drop(listener);
    let (result, _) = run(&dialer, &probe, None).await;
    assert_eq!(result, Err(Failure::Refused));
}

#[tokio::test]
async fn a_long_page_of_another_program_counts_without_being_read_to_the_end() {
    let (listener, address) = listener().await;
    let serving = async {
        let (mut stream, _) = listener.accept().await.expect("is accepted");
        receive(&mut stream).await;
        let head = "HTTP/1.1 404 Not Found\r\ncontent-length: 1000000000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.ok();
        while stream.write_all(&[b'x'; 1_000]).await.is_ok() {}
        std::future::pending::<()>().await;
    };
    let (dialer, probe) = (Dialer::default(), probe(address, TIMEOUT));
    tokio::select! {
        (result, connection) = run(&dialer, &probe, None) => {
            assert_eq!(result, Ok(Reached { names_itself: false }));
            assert!(connection.is_none(), "the rest of the page is in transit");
        }
        () = serving => unreachable!("serves forever"),
    }
}
