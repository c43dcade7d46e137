//! What arrives on the client port and is no proper call.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use meridian_testkit::process::{Agent, Dev, Sandbox, get, port};
use meridian_testkit::wait::until_ok;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request};
use tonic::transport::Endpoint;
use tower::ServiceExt;

use crate::support::{done, request_id, same_state, scaling, settled};

/// What the server takes: 1 MiB.
const LARGEST: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn torn_and_oversized_messages_are_refused_by_name_and_change_nothing() {
    let sandbox = Sandbox::new().await.expect("there is a place");
    let _dev = Dev::start(&sandbox, &["--regions", "westeurope"]).await.expect("starts");
    let agents = [sandbox.agent(1, "westeurope")];
    let agent = &agents[0];
    settled(&agents).await;
    let before = until_ok("the state", async || same_state(agent, &agents).await).await;
    let good = scaling(&request_id(), "westeurope", 2).encode_to_vec();

    let torn = call(agent, framed(&good[..good.len() - 3], 0)).await;
    assert_eq!(torn.0, Code::InvalidArgument, "{torn:?}");
    let short = call(agent, framed(&good, 100)).await;
    assert_ne!(short.0, Code::Ok, "{short:?}");
    let mut large = scaling(&request_id(), "westeurope", 2);
    large.service = "x".repeat(2 * LARGEST);
    let large = call(agent, framed(&large.encode_to_vec(), 0)).await;
    assert_eq!(large.0, Code::InvalidArgument, "{large:?}");
    assert!(large.1.contains("1 MiB") || large.1.contains("1048576"), "{large:?}");
    let noise = call(agent, Bytes::from_static(&[0xff; 64])).await;
    assert_ne!(noise.0, Code::Ok, "{noise:?}");
    for text in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 512]] {
        throw_at(agent, text).await;
    }

    assert_eq!(same_state(agent, &agents).await.expect("answers"), before);
    let healthy = get((agent.address(), port::HTTP).into(), "/healthz").await.expect("answers");
    assert_eq!(healthy.status, 200, "{healthy:?}");
    let whole = call(agent, framed(&good, 0)).await;
    assert_eq!(whole.0, Code::Ok, "the same message in one piece: {whole:?}");
    done(agent, "region scale westeurope --units 1").await;
}

/// A message as gRPC frames it, with a length that promises `missing` bytes more.
fn framed(message: &[u8], missing: usize) -> Bytes {
    let length = u32::try_from(message.len() + missing).expect("is short enough");
    [&[0][..], &length.to_be_bytes(), message].concat().into()
}

/// Calls `ChangeService` with that body, and gives the status of the answer.
async fn call(agent: &Agent, body: Bytes) -> (Code, String) {
    let uri = format!("http://{}", agent.endpoint());
    let channel = Endpoint::from_shared(uri.clone()).expect("is an address").connect().await;
    let request = Request::post(uri + "/meridian.v1.Services/ChangeService")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(Full::new(body)))
        .expect("is a request");
    let answer = channel.expect("listens").oneshot(request).await.expect("is answered");
    let head = answer.headers().clone();
    let trailers =
        answer.into_body().collect().await.ok().and_then(|body| body.trailers().cloned());
    let status = |headers: &HeaderMap| {
        let code = headers.get("grpc-status")?.to_str().ok()?.parse::<i32>().ok()?;
        let word = headers.get("grpc-message").and_then(|word| word.to_str().ok());
        Some((Code::from(code), word.unwrap_or_default().replace("%20", " ")))
    };
    status(&head).or_else(|| status(&trailers?)).expect("a call ends with a status")
}

/// Sends what is no HTTP/2, and returns once the agent has hung up.
async fn throw_at(agent: &Agent, bytes: &[u8]) {
    let mut stream = TcpStream::connect(agent.endpoint()).await.expect("listens");
    let _ = stream.write_all(bytes).await;
    let mut rest = Vec::new();
    let read =
        tokio::time::timeout(meridian_testkit::wait::PATIENCE, stream.read_to_end(&mut rest));
    // It may end the connection in any way, but it ends it.
    let _ = read.await.expect("the agent hangs up");
}
