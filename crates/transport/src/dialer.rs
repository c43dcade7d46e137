//! Opening byte streams: TCP, or what a simulation puts in its place.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint, Error};
use tower::ServiceExt as _;

use crate::connect::{io_error_kind, root_cause};
use crate::resolver::Resolver;

/// Bidirectional byte stream.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

type Dial = dyn Fn(String) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> + Send + Sync;

/// Opens connections. The default uses TCP and the system's resolver. Cheap to clone.
#[derive(Clone)]
pub struct Dialer(Kind);

#[derive(Clone)]
enum Kind {
    Tcp(HttpConnector<Resolver>),
    Custom(Arc<Dial>),
}

impl Dialer {
    /// Creates a dialer that opens each connection with `dial`, which receives `HOST:PORT`.
    #[must_use]
    pub fn new(
        dial: impl Fn(String) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> + Send + Sync + 'static,
    ) -> Self {
        Self(Kind::Custom(Arc::new(dial)))
    }

    /// Creates a dialer that uses TCP and resolves host names with `resolver`. The addresses of a
    /// name are tried in turn, those of the other IP version after 300 ms at the latest (RFC 8305).
    #[must_use]
    pub fn resolving(resolver: Resolver) -> Self {
        let mut connector = HttpConnector::new_with_resolver(resolver);
        connector.enforce_http(false);
        connector.set_nodelay(true);
        Self(Kind::Tcp(connector))
    }

    /// Opens a connection to `address` (`HOST:PORT`) for another protocol than gRPC, within
    /// `timeout` over TCP. Cancel-safe: dropping the future abandons the connection.
    ///
    /// # Errors
    /// The innermost cause, of its kind.
    pub async fn open(&self, address: &str, timeout: Duration) -> io::Result<Box<dyn Stream>> {
        match self.0.clone() {
            Kind::Tcp(mut connector) => {
                let uri = Uri::try_from(format!("http://{address}")).map_err(io::Error::other)?;
                connector.set_connect_timeout(Some(timeout));
                let stream = connector.oneshot(uri).await.map_err(|error| {
                    let kind = io_error_kind(&error).unwrap_or(io::ErrorKind::Other);
                    io::Error::new(kind, root_cause(&error))
                })?;
                Ok(Box::new(stream.into_inner()))
            }
            Kind::Custom(dial) => dial(address.to_owned()).await,
        }
    }

    pub(crate) async fn dial(
        &self,
        endpoint: Endpoint,
        timeout: Duration,
    ) -> Result<Channel, Error> {
        match self.0.clone() {
            Kind::Tcp(mut connector) => {
                // Divided among the addresses, so that one that does not respond leaves time for
                // the next.
                connector.set_connect_timeout(Some(timeout));
                endpoint.connect_with_connector(connector).await
            }
            Kind::Custom(dial) => {
                let connector = tower::service_fn(move |uri: Uri| {
                    let stream = dial(uri.authority().map(ToString::to_string).unwrap_or_default());
                    async move { stream.await.map(TokioIo::new) }
                });
                endpoint.connect_with_connector(connector).await
            }
        }
    }
}

impl Default for Dialer {
    fn default() -> Self {
        Self::resolving(Resolver::default())
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Kind::Tcp(_) => "Dialer(TCP)",
            Kind::Custom(_) => "Dialer(custom)",
        })
    }
}
