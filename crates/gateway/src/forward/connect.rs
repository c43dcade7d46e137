//! Connections to backends: HTTP/1.1, over TLS where the backend's URL says https.

use std::io;
use std::sync::Arc;

use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use tower::Service as _;

use super::origin::{Lease, Origin};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Makes the connections of one worker.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    worker: usize,
    plain: HttpConnector,
    /// None if this machine has no roots to trust.
    tls: Option<HttpsConnector<HttpConnector>>,
}

impl Connector {
    /// The connector of worker 0. Trusts whom the machine trusts.
    pub(crate) fn new() -> Self {
        let mut plain = HttpConnector::new();
        plain.enforce_http(false);
        plain.set_nodelay(true);
        let provider = rustls::crypto::ring::default_provider();
        let tls = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(provider)
            .inspect_err(|error| tracing::warn!(%error, "https backends cannot be reached"))
            .ok()
            .map(|builder| builder.https_only().enable_http1().wrap_connector(plain.clone()));
        Self { worker: 0, plain, tls }
    }

    /// The same for another worker.
    pub(crate) fn for_worker(&self, worker: usize) -> Self {
        Self { worker, ..self.clone() }
    }

    /// Which worker it is for.
    pub(crate) fn worker(&self) -> usize {
        self.worker
    }

    /// A connection to `origin` that stands idle.
    pub(super) async fn idle(&self, origin: &Arc<Origin>) -> Option<Lease> {
        origin.take(self.worker).await
    }

    /// A new connection to `origin`.
    pub(super) async fn connect(&self, origin: &Arc<Origin>) -> Result<Lease, Error> {
        let base = origin.base().clone();
        if base.scheme_str() == Some("https") {
            let no_roots = || io::Error::other("this machine has no trusted root certificates");
            let mut tls = self.tls.clone().ok_or_else(no_roots)?;
            self.handshake(origin, tls.call(base).await?).await
        } else {
            self.handshake(origin, self.plain.clone().call(base).await?).await
        }
    }

    async fn handshake(
        &self,
        origin: &Arc<Origin>,
        io: impl Read + Write + Unpin + Send + 'static,
    ) -> Result<Lease, Error> {
        let (sender, connection) = http1::handshake(io).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to a backend broke");
            }
        });
        Ok(origin.lease(sender, self.worker))
    }
}
