//! Sizes, connections, addresses and the rate limit.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use meridian_domain::Edit;
use meridian_steering::Config;
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use crate::client::{Ask, receive_tcp, send_tcp, udp};
use crate::cluster::{Cluster, region};
use crate::server::TestServer;

/// Returns a cluster whose service has 16 IPv6 addresses in each of four regions.
fn large() -> std::sync::Arc<Cluster> {
    let cluster = Cluster::empty();
    let places = ["westeurope", "northeurope", "eastus", "southeastasia"];
    for place in places {
        for number in 1..=4 {
            let host = format!("{place}-{number}.example.org");
            cluster.register(&format!("{place}-{number}"), place, &host);
        }
    }
    cluster.create("contoso");
    for place in places {
        cluster.edit("contoso", Edit::Set { region: region(place), units: 4 });
    }
    cluster.all_ready();
    cluster.set_dns(|settings| settings.fallback_regions = 3);
    cluster
}

/// Starts a server whose responses have up to 64 addresses.
pub async fn start_large(change: impl Fn(&mut Config)) -> TestServer {
    let server = TestServer::start_with(large(), change).await;
    for (place, number) in
        ["westeurope", "northeurope", "eastus", "southeastasia"].iter().zip(1_u16..)
    {
        for gateway in 1..=4 {
            let address = |last| format!("2001:db8:{number}:{gateway}::{last}");
            let addresses: Vec<_> = (1..=4).map(address).collect();
            let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
            server.names.set(&format!("{place}-{gateway}.example.org"), 60, &addresses);
        }
    }
    let ask = Ask::new("contoso", "AAAA");
    crate::server::eventually(async || ask.tcp(&server).await.answers().len() == 64).await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_does_not_fit_is_truncated_and_complete_over_tcp() {
    let server = start_large(|_| ()).await;
    let ask = Ask::new("contoso", "AAAA");
    for (ask, limit) in [
        (ask.clone(), 512),
        (ask.clone().edns(512), 512),
        (ask.clone().edns(1_000), 1_000),
        (ask.clone().edns(4_096), 1_232),
        (ask.clone().edns(65_535), 1_232),
    ] {
        let response = udp(server.address, &ask.bytes()).await.unwrap();
        assert!(response.len() <= limit, "{} bytes", response.len());
        let response = ask.udp(&server).await;
        assert!(response.0.metadata.truncation && response.answers().is_empty());
        let complete = ask.tcp(&server).await;
        assert!(!complete.0.metadata.truncation);
        assert_eq!(complete.answers().len(), 64);
        assert_eq!(
            complete.0.edns.as_ref().map(|edns| edns.max_payload()),
            ask.message.edns.as_ref().map(|_| 1_232)
        );
    }
    // 33 * 28 bytes fit into 1,232.
    server.cluster.set_dns(|settings| settings.fallback_regions = 1);
    crate::server::eventually(async || {
        ask.clone().edns(1_232).udp(&server).await.answers().len() == 32
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_of_name_servers_are_left_out_where_they_do_not_fit() {
    let server = start_large(|_| ()).await;
    let ask = Ask::new("", "NS");
    let plain = ask.udp(&server).await;
    assert_eq!((plain.answers().len(), plain.additionals().len()), (4, 0));
    assert!(!plain.0.metadata.truncation);
    assert_eq!(ask.tcp(&server).await.additionals().len(), 16);
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_queries_are_answered_in_order() {
    let server = TestServer::start(Cluster::contoso()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let mut ask = Ask::new("contoso", "A");
    for id in 0..100 {
        ask.message.metadata.id = id;
        send_tcp(&mut stream, &ask.bytes()).await;
    }
    for id in 0..100 {
        let response = receive_tcp(&mut stream).await.expect("a response");
        assert_eq!((response.0.metadata.id, response.answers().len()), (id, 2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_break_the_protocol_are_closed() {
    let server = TestServer::start(Cluster::contoso()).await;
    for message in [&[0xff, 0xff][..], &[0, 3, 1, 2, 3], &[0, 0]] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(message).await.unwrap();
        assert_closed(&mut stream).await;
    }
}

async fn assert_closed(stream: &mut TcpStream) {
    let mut byte = [0];
    let closed = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut byte));
    assert_eq!(closed.await.expect("in time").unwrap_or(0), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_the_maximum_close_the_oldest() {
    let server = TestServer::start(Cluster::contoso()).await;
    let mut oldest = TcpStream::connect(server.address).await.unwrap();
    let mut others = Vec::new();
    for _ in 0..256 {
        others.push(TcpStream::connect(server.address).await.unwrap());
    }
    assert_closed(&mut oldest).await;
    let newest = others.last_mut().unwrap();
    send_tcp(newest, &Ask::new("contoso", "A").bytes()).await;
    assert_eq!(receive_tcp(newest).await.expect("a response").answers().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limited_network_receives_truncated_responses_and_is_served_over_tcp() {
    let server = TestServer::start_with(Cluster::contoso(), |config| {
        config.responses_per_second = 50;
    })
    .await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server.address).await.unwrap();
    let query = Ask::new("contoso", "A").bytes();
    for _ in 0..1_000 {
        socket.send(&query).await.unwrap();
    }
    let (mut full, mut truncated) = (0, 0);
    let mut response = [0; 1_500];
    let wait = Duration::from_millis(300);
    while let Ok(Ok(length)) = tokio::time::timeout(wait, socket.recv(&mut response)).await {
        if response[2] & 2 == 0 {
            full += 1;
        } else {
            assert!(length <= query.len(), "no amplification");
            truncated += 1;
        }
    }
    // The queries took less than two seconds.
    assert!((1..=150).contains(&full), "{full} full responses");
    assert!((200..=500).contains(&truncated), "{truncated} truncated responses");
    let tcp = Ask::new("contoso", "A").tcp(&server).await;
    assert_eq!((tcp.code(), tcp.answers().len()), (ResponseCode::NoError, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_leave_from_the_address_that_was_asked() {
    for any in ["0.0.0.0:0", "[::]:0"] {
        let server = TestServer::start_with(Cluster::contoso(), |config| {
            config.listen = vec![any.parse().unwrap()];
        })
        .await;
        let port = server.address.port();
        for asked in ["127.0.0.1", "127.0.0.2", "127.1.2.3"] {
            let response = udp(
                (asked.parse::<IpAddr>().unwrap(), port).into(),
                &Ask::new("contoso", "A").bytes(),
            )
            .await;
            assert!(response.is_some(), "{asked} at {any}");
        }
        if any.starts_with('[') {
            let asked = ("::1".parse::<IpAddr>().unwrap(), port).into();
            let response = udp(asked, &Ask::new("contoso", "A").bytes()).await;
            assert!(response.is_some(), "::1 at {any}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_to_several_addresses_at_once_have_responses_from_each() {
    let server = TestServer::start_with(Cluster::contoso(), |config| {
        config.listen = vec!["0.0.0.0:0".parse().unwrap()];
    })
    .await;
    let mut sockets = Vec::new();
    for asked in [[127, 0, 0, 1], [127, 0, 0, 2]].repeat(8) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect((IpAddr::from(asked), server.address.port())).await.unwrap();
        sockets.push(socket);
    }
    let query = Ask::new("contoso", "A").bytes();
    for _ in 0..20 {
        for socket in &sockets {
            socket.send(&query).await.unwrap();
        }
    }
    for socket in &sockets {
        for _ in 0..20 {
            let mut response = [0; 512];
            let received = socket.recv(&mut response);
            tokio::time::timeout(Duration::from_secs(5), received).await.unwrap().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_use_is_an_error() {
    let server = TestServer::start(Cluster::contoso()).await;
    let config = Config::new(vec![server.address], region("westeurope"));
    let second = server.cluster.bind(config).await;
    let error = second.err().expect("is in use").to_string();
    assert!(error.starts_with("dns_listen 127.0.0.1:"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_another_process_shares_is_not_taken_over() {
    let other = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    other.set_reuse_port(true).unwrap();
    other.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    let address = other.local_addr().unwrap().as_socket().unwrap();
    let config = Config::new(vec![address], region("westeurope"));
    let error = Cluster::contoso().bind(config).await.err().expect("is in use");
    assert_eq!(error.to_string(), format!("dns_listen {address}: cannot listen on UDP"));
}
