//! One probe: a request at the status path of a gateway.

use std::io;
use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{HOST, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use meridian_domain::api::STATUS_PATH;
use meridian_transport::{Dialer, Stream};
use tokio::time::{Instant, timeout};

use super::probe::{Failure, Gateway, Probe};
use super::response::{Reached, verify};

/// Maximum size of a body that may be a status document. Of a larger one, the rest is not read.
const MAX_BODY_BYTES: usize = 4 * 1024;
/// Name of the client, for access logs.
const CLIENT: &str = "meridian-probe";

type Driver = http1::Connection<TokioIo<Box<dyn Stream>>, Empty<Bytes>>;

/// An idle connection to a gateway. It reads nothing until it is used again.
pub(super) struct Connection {
    sender: http1::SendRequest<Empty<Bytes>>,
    driver: Pin<Box<Driver>>,
    opened: Instant,
    gateway: Gateway,
    authority: String,
}

impl Connection {
    async fn open(dialer: &Dialer, probe: &Probe) -> Result<Self, Failure> {
        let (authority, gateway) = (probe.authority(), probe.gateway.clone());
        let stream = dialer.open(&authority, probe.timeout).await;
        let stream = stream.map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => Failure::Refused,
            io::ErrorKind::TimedOut => Failure::TimedOut,
            _ => Failure::Failed,
        })?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (sender, driver) = handshake.map_err(|_| Failure::Failed)?;
        let driver = Box::pin(driver);
        Ok(Self { sender, driver, opened: Instant::now(), gateway, authority })
    }

    /// Returns the time since the connection was opened.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.duration_since(self.opened)
    }

    /// Returns the gateway.
    pub(super) fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// Sends a request. Returns the response, and true if the connection can be used again.
    async fn request(&mut self) -> hyper::Result<(StatusCode, Vec<u8>, bool)> {
        let request = Request::get(STATUS_PATH)
            .header(HOST, &self.authority)
            .header(USER_AGENT, CLIENT)
            .body(Empty::new())
            .expect("an address is a valid header value");
        let ((status, body, is_complete), is_open) = {
            let sender = &mut self.sender;
            let mut exchange = pin!(async {
                sender.ready().await?;
                read(sender.send_request(request).await?).await
            });
            tokio::select! {
                biased;
                response = exchange.as_mut() => (response?, true),
                // The server closed the connection after its response.
                _ = self.driver.as_mut() => (exchange.await?, false),
            }
        };
        Ok((status, body, is_open && is_complete && !self.sender.is_closed()))
    }
}

/// Reads a response as far as a status document may be long. Returns true if that was all.
async fn read(mut response: Response<Incoming>) -> hyper::Result<(StatusCode, Vec<u8>, bool)> {
    let (status, mut body) = (response.status(), Vec::new());
    while let Some(frame) = response.body_mut().frame().await {
        body.extend_from_slice(&frame?.into_data().unwrap_or_default());
        if body.len() > MAX_BODY_BYTES {
            return Ok((status, body, false));
        }
    }
    Ok((status, body, true))
}

/// Sends a probe, on `idle` if given and still open. Returns the connection if it can be used again.
pub(super) async fn run(
    dialer: &Dialer,
    probe: &Probe,
    idle: Option<Connection>,
) -> (Result<Reached, Failure>, Option<Connection>) {
    let exchange = async {
        if let Some(mut connection) = idle
            && let Ok(response) = connection.request().await
        {
            return Ok((connection, response));
        }
        let mut connection = Connection::open(dialer, probe).await?;
        let response = connection.request().await.map_err(|_| Failure::Failed)?;
        Ok((connection, response))
    };
    match timeout(probe.timeout, exchange).await {
        Ok(Ok((connection, (status, body, is_reusable)))) => {
            (verify(probe, status, &body), is_reusable.then_some(connection))
        }
        Ok(Err(failure)) => (Err(failure), None),
        Err(_) => (Err(Failure::TimedOut), None),
    }
}

#[cfg(test)]
mod tests;
