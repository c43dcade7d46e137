//! Connections, and requests outside the contract.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use meridian_api::{Config, describe_metrics, refuse_requests};
use meridian_proto::v1;
use meridian_proto::v1::edit::Edit;
use meridian_transport::accept;
use metrics_exporter_prometheus::PrometheusBuilder;
use prost::bytes::BufMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::harness::{World, change, connect, reason};

const SOON: Duration = Duration::from_secs(5);

async fn with(limits: accept::Limits) -> World {
    World::with(Config { accept: limits, ..Config::default() }).await
}

async fn silent(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.expect("the server listens")
}

/// Waits until the server closes the connection.
async fn closed(mut stream: TcpStream) {
    let mut rest = Vec::new();
    // A reset is an end as well.
    let _ = timeout(SOON, stream.read_to_end(&mut rest)).await.expect("is closed in time");
    assert!(rest.is_empty(), "the server sent {rest:?}");
}

#[tokio::test]
async fn connections_that_never_finish_their_handshake_are_dropped() {
    let handshake = Duration::from_millis(300);
    let world = with(accept::Limits { handshake, ..accept::Limits::default() }).await;
    let start = Instant::now();
    let mut half_open = Vec::new();
    for number in 0..100_usize {
        let mut stream = silent(world.address).await;
        let said = &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..number % 24];
        stream.write_all(said).await.expect("is sent");
        half_open.push(stream);
    }
    for stream in half_open {
        closed(stream).await;
    }
    assert!(start.elapsed() >= handshake);
    let mut services = world.services.clone();
    services.list_services(v1::ListServicesRequest::default()).await.expect("is untouched");
    connect(world.address).await;
}

#[tokio::test]
async fn half_open_connections_do_not_lock_out_regular_clients() {
    let limits = accept::Limits {
        handshake: Duration::from_secs(3600),
        half_open: 8,
        ..accept::Limits::default()
    };
    let world = with(limits).await;
    let mut half_open = Vec::new();
    for _ in 0..400 {
        half_open.push(silent(world.address).await);
    }
    let channel = connect(world.address).await;
    let mut services = v1::services_client::ServicesClient::new(channel);
    services.list_services(v1::ListServicesRequest::default()).await.expect("is served");
    for stream in half_open.drain(..390) {
        closed(stream).await;
    }
}

#[tokio::test]
async fn connections_that_do_not_speak_http2_are_dropped_immediately() {
    let world = World::new().await;
    for said in
        [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], b"\x16\x03\x01", b"PRI * HTTP/2.0\r\n\r\nXX"]
    {
        let mut stream = silent(world.address).await;
        stream.write_all(said).await.expect("is sent");
        closed(stream).await;
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_are_dropped_until_slots_are_released() {
    let limits = accept::Limits { connections: 2, ..accept::Limits::default() };
    let world = with(limits).await;
    let second = connect(world.address).await;
    closed(silent(world.address).await).await;
    drop(second);
    let deadline = Instant::now() + SOON;
    loop {
        let mut third = silent(world.address).await;
        let mut byte = [0];
        // A connection with a slot stays open: a read blocks.
        if timeout(Duration::from_millis(200), third.read(&mut byte)).await.is_err() {
            break;
        }
        assert!(Instant::now() < deadline, "no slot was released");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Codec that sends raw bytes instead of a message.
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, _: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        Ok(Some(()))
    }
}

async fn send(world: &World, path: &'static str, bytes: Vec<u8>) -> Status {
    let mut client = Grpc::new(world.channel.clone());
    client.ready().await.expect("is connected");
    let response = client.unary(Request::new(bytes), PathAndQuery::from_static(path), Raw).await;
    response.expect_err("is refused")
}

#[tokio::test]
async fn truncated_and_oversized_messages_are_invalid() {
    let mut world = World::with_contoso().await;
    let before = world.fake.revision();
    let oversized = vec![Edit::Tier("x".repeat(2 << 20))];
    let status = world.edit(oversized).await.expect_err("is refused");
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::InvalidArgument, "MESSAGE_INVALID")
    );
    assert!(status.message().contains("too large"), "{}", status.message());

    let whole = prost::Message::encode_to_vec(&change(vec![crate::harness::scale("eastus", 3)]));
    for length in 1..whole.len() {
        let status =
            send(&world, "/meridian.v1.Services/ChangeService", whole[..length].to_vec()).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{length}: {status:?}");
    }
    assert_eq!(world.fake.revision(), before);
    let status = send(&world, "/meridian.v1.Services/Nothing", Vec::new()).await;
    assert_eq!(status.code(), Code::Unimplemented);
}

#[tokio::test]
async fn health_follows_readiness() {
    let world = World::new().await;
    let mut health = HealthClient::new(world.channel.clone());
    for ready in [true, false, true] {
        world.ready.send_replace(ready);
        let expected = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in ["", "meridian.v1.Services", "meridian.v1.Events", "meridian.v1.Cluster"] {
            let request = HealthCheckRequest { service: service.to_owned() };
            let mut watch = health.watch(request).await.expect("is watched").into_inner();
            let turn = async {
                while watch.message().await.expect("continues").expect("continues").status()
                    != expected
                {}
            };
            timeout(SOON, turn).await.expect("turns in time");
        }
    }
}

#[tokio::test]
async fn requests_are_counted_by_method_and_code_and_unknown_methods_as_one() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    metrics::set_global_recorder(recorder).expect("is the only one");
    describe_metrics();
    meridian_transport::metrics::describe_metrics();
    let never_dropped = "meridian_accept_dropped_total{reason=\"full\"} 0";
    assert!(metrics.render().contains(never_dropped), "{}", metrics.render());
    let mut world = World::with_contoso().await;
    world.edit(vec![crate::harness::scale("eastus", 0)]).await.expect_err("is refused");
    send(&world, "/meridian.v1.Services/Invented", Vec::new()).await;
    send(&world, "/invented.Service/Invented", Vec::new()).await;
    let stream = world.events.watch(v1::WatchRequest { follow: true, ..Default::default() }).await;
    drop(stream.expect("starts"));
    for (method, code) in [
        ("meridian.v1.Services/CreateService", "OK"),
        ("meridian.v1.Services/ChangeService", "INVALID_ARGUMENT"),
        ("unknown", "UNIMPLEMENTED"),
        ("meridian.v1.Events/Watch", "CANCELLED"),
    ] {
        let counted = format!("meridian_api_requests_total{{method=\"{method}\",code=\"{code}\"}}");
        let deadline = Instant::now() + SOON;
        while !metrics.render().contains(&counted) {
            assert!(Instant::now() < deadline, "{counted} is not in:\n{}", metrics.render());
            sleep(Duration::from_millis(20)).await;
        }
    }
    assert!(metrics.render().contains("# HELP meridian_api_request_duration_seconds"));
    assert!(!metrics.render().contains("nvented"));
}

macro_rules! reflects {
    ($name:ident, $version:ident) => {
        #[tokio::test]
        async fn $name() {
            use tonic_reflection::pb::$version::ServerReflectionRequest;
            use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
            use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;

            let world = World::new().await;
            let mut client = ServerReflectionClient::new(world.channel.clone());
            let request = |message_request| ServerReflectionRequest {
                host: String::new(),
                message_request: Some(message_request),
            };
            let requests = [
                request(MessageRequest::ListServices(String::new())),
                request(MessageRequest::FileContainingSymbol("meridian.v1.Services".to_owned())),
            ];
            let responses = client.server_reflection_info(tokio_stream::iter(requests)).await;
            let mut responses = responses.expect("is returned").into_inner();
            let listed = responses.message().await.expect("continues").expect("is returned");
            let Some(MessageResponse::ListServicesResponse(listed)) = listed.message_response
            else {
                panic!("lists services")
            };
            let names: Vec<_> = listed.service.into_iter().map(|service| service.name).collect();
            for name in ["meridian.v1.Services", "meridian.v1.Events", "meridian.v1.Cluster"] {
                assert!(names.iter().any(|listed| listed == name), "{names:?}");
            }
            assert!(!names.iter().any(|name| name.ends_with("Peer")), "{names:?}");
            let file = responses.message().await.expect("continues").expect("is returned");
            let Some(MessageResponse::FileDescriptorResponse(file)) = file.message_response else {
                panic!("describes a service")
            };
            assert!(!file.file_descriptor_proto.is_empty());
        }
    };
}

reflects!(reflection_supports_version_1, v1);
reflects!(reflection_supports_version_1_alpha, v1alpha);

#[tokio::test]
async fn an_agent_refuses_requests_until_it_is_a_member_and_then_serves_the_same_clients() {
    let listener = Arc::new(TcpListener::bind("127.0.0.1:0").await.expect("a port is free"));
    let is_member = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&is_member);
    let refusing = tokio::spawn(refuse_requests(
        Arc::clone(&listener),
        accept::Limits::default(),
        move || asked.load(Ordering::Relaxed),
    ));
    let channel = connect(listener.local_addr().expect("is bound")).await;
    let mut services = v1::services_client::ServicesClient::new(channel);
    for (member, expected) in [(false, "NOT_A_MEMBER"), (true, "STARTING")] {
        is_member.store(member, Ordering::Relaxed);
        let refused = services.list_services(v1::ListServicesRequest::default()).await;
        let refused = refused.expect_err("the agent cannot serve requests yet");
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unavailable, expected));
    }

    refusing.abort();
    let _world = World::on(listener, Config::default()).await;
    let served = async {
        while services.list_services(v1::ListServicesRequest::default()).await.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, served).await.expect("the connection to the refusing server ends");
}
