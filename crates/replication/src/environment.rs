//! What a node takes from the machine that it runs on, beside its disk: connections and the time of day.
//! A simulation puts its own in their place.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use futures::future::BoxFuture;
use hyper_util::rt::TokioIo;
use meridian_domain::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};

/// Both of them. The default is the machine's own.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// How other members are reached.
    pub dialer: Dialer,
    /// What the leader stamps its entries with.
    pub clock: Clock,
}

/// A stream of bytes in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

type Dial = dyn Fn(String) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> + Send + Sync;

/// Opens connections to other members; over TCP, unless it was made otherwise.
#[derive(Clone, Default)]
pub struct Dialer(Option<Arc<Dial>>);

impl Dialer {
    /// A dialer that opens each connection with `dial`, which is given the `HOST:PORT`.
    #[must_use]
    pub fn new(
        dial: impl Fn(String) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(dial)))
    }

    pub(crate) async fn connect(
        &self,
        endpoint: Endpoint,
    ) -> Result<Channel, tonic::transport::Error> {
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
        f.write_str(if self.0.is_some() { "Dialer(other)" } else { "Dialer(TCP)" })
    }
}

/// The time of day; the machine's, unless it was made otherwise. Waiting never goes by it.
#[derive(Clone, Default)]
pub struct Clock(Option<Arc<dyn Fn() -> Timestamp + Send + Sync>>);

impl Clock {
    /// A clock that says what `now` says.
    #[must_use]
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(now)))
    }

    pub(crate) fn now(&self) -> Timestamp {
        if let Some(now) = &self.0 {
            return now();
        }
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Clock(other)" } else { "Clock(system)" })
    }
}
