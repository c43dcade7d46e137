//! Opening byte streams: TCP, or what a simulation puts in its place.

use std::fmt;
use std::io;
use std::sync::Arc;

use futures::future::BoxFuture;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint, Error};

/// Bidirectional byte stream.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

type Dial = dyn Fn(String) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> + Send + Sync;

/// Opens connections. The default uses TCP and resolves the host name at each dial.
#[derive(Clone, Default)]
pub struct Dialer(Option<Arc<Dial>>);

impl Dialer {
    /// Creates a dialer that opens each connection with `dial`, which receives `HOST:PORT`.
    #[must_use]
    pub fn new(
        dial: impl Fn(String) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(dial)))
    }

    pub(crate) async fn dial(&self, endpoint: Endpoint) -> Result<Channel, Error> {
        let Some(dial) = self.0.clone() else {
            return endpoint.connect().await;
        };
        let connector = tower::service_fn(move |uri: Uri| {
            let stream = dial(uri.authority().map(ToString::to_string).unwrap_or_default());
            async move { stream.await.map(TokioIo::new) }
        });
        endpoint.connect_with_connector(connector).await
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Dialer(custom)" } else { "Dialer(TCP)" })
    }
}
