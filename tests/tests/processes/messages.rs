//! Invalid requests to the client port.

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

use crate::support::{execute, request_id, same_state, scaling, wait_until_converged};

/// Maximum message size of the server: 1 MiB.
const MAX_MESSAGE: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn truncated_and_oversized_messages_are_rejected_without_effect() {
    let sandbox = Sandbox::new().await.expect("a sandbox");
    let _dev = Dev::start(&sandbox, &["--regions", "westeurope"]).await.expect("dev starts");
    let agents = [sandbox.agent(1, "westeurope")];
    let agent = &agents[0];
    wait_until_converged(&agents).await;
    let before = until_ok("the state", async || same_state(agent, &agents).await).await;
    let valid = scaling(&request_id(), "westeurope", 2).encode_to_vec();

    let truncated = send(agent, framed(&valid[..valid.len() - 3], 0)).await;
    assert_eq!(truncated.0, Code::InvalidArgument, "{truncated:?}");
    let short = send(agent, framed(&valid, 100)).await;
    assert_ne!(short.0, Code::Ok, "{short:?}");
    let mut large = scaling(&request_id(), "westeurope", 2);
    large.service = "x".repeat(2 * MAX_MESSAGE);
    let large = send(agent, framed(&large.encode_to_vec(), 0)).await;
    assert_eq!(large.0, Code::InvalidArgument, "{large:?}");
    assert!(large.1.contains("1 MiB") || large.1.contains("1048576"), "{large:?}");
    let noise = send(agent, Bytes::from_static(&[0xff; 64])).await;
    assert_ne!(noise.0, Code::Ok, "{noise:?}");
    for text in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 512]] {
        send_raw(agent, text).await;
    }

    assert_eq!(same_state(agent, &agents).await.expect("the agent responds"), before);
    let health =
        get((agent.address(), port::HTTP).into(), "/healthz").await.expect("the agent responds");
    assert_eq!(health.status, 200, "{health:?}");
    let complete = send(agent, framed(&valid, 0)).await;
    assert_eq!(complete.0, Code::Ok, "the complete message: {complete:?}");
    execute(agent, "region scale westeurope --units 1").await;
}

/// Frames a message for gRPC, with a length that exceeds the message by `missing` bytes.
fn framed(message: &[u8], missing: usize) -> Bytes {
    let length = u32::try_from(message.len() + missing).expect("the message is short");
    [&[0][..], &length.to_be_bytes(), message].concat().into()
}

/// Sends a `ChangeService` request with this body, and returns the status of the response.
async fn send(agent: &Agent, body: Bytes) -> (Code, String) {
    let uri = format!("http://{}", agent.endpoint());
    let channel = Endpoint::from_shared(uri.clone()).expect("a valid URI").connect().await;
    let request = Request::post(uri + "/meridian.v1.Services/ChangeService")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(Full::new(body)))
        .expect("a valid request");
    let response =
        channel.expect("the agent listens").oneshot(request).await.expect("the agent responds");
    let head = response.headers().clone();
    let trailers =
        response.into_body().collect().await.ok().and_then(|body| body.trailers().cloned());
    let status = |headers: &HeaderMap| {
        let code = headers.get("grpc-status")?.to_str().ok()?.parse::<i32>().ok()?;
        let message = headers.get("grpc-message").and_then(|message| message.to_str().ok());
        Some((Code::from(code), message.unwrap_or_default().replace("%20", " ")))
    };
    status(&head).or_else(|| status(&trailers?)).expect("the response has a status")
}

/// Sends bytes that are not HTTP/2, and waits for the agent to close the connection.
async fn send_raw(agent: &Agent, bytes: &[u8]) {
    let mut stream = TcpStream::connect(agent.endpoint()).await.expect("the agent listens");
    let _ = stream.write_all(bytes).await;
    let mut rest = Vec::new();
    let read = tokio::time::timeout(meridian_testkit::wait::TIMEOUT, stream.read_to_end(&mut rest));
    // Closing and resetting are both fine.
    let _ = read.await.expect("the agent closes the connection");
}
