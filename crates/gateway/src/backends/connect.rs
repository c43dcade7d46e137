//! Connections to backends: HTTP/1.1 or HTTP/2, over TLS if the scheme of the backend's URL is
//! https.

use std::io;
use std::sync::Arc;

use hyper::rt::{Read, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::{Connection as _, HttpConnector};
use hyper_util::rt::TokioIo;
use meridian_transport::Resolver;
use rustix::io::Errno;
use rustls::{ClientConfig, RootCertStore};
use rustls_native_certs::{CertificateResult, ErrorKind};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio_util::sync::DropGuard;
use tower::Service as _;

use super::http1_connection::Http1Connection;
use super::http2_connection::Http2Connection;
use super::lease::Lease;
use super::origin::{Origin, Protocols};
use super::pool::{DialDecision, PooledConnection};

/// Number of connections in progress that a request waits for before it dials its own. With the
/// first one, the backend announces its maximum number of concurrent streams, which determines how
/// the next ones are shared.
const MAX_DIAL_WAITS: usize = 2;

/// Error while establishing a connection.
pub(crate) type ConnectError = Box<dyn std::error::Error + Send + Sync>;

/// Dials connections to backends.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    plain: HttpConnector<Resolver>,
    /// Initialized on first use: reading the system's root certificates takes longer than the rest
    /// of a unit's start.
    tls: Arc<Mutex<Option<Tls>>>,
}

#[derive(Debug, Clone)]
struct Tls {
    /// The backend chooses the protocol.
    any: HttpsConnector<HttpConnector<Resolver>>,
    only_http1: HttpsConnector<HttpConnector<Resolver>>,
}

impl Tls {
    /// Creates connectors that trust the system's root certificates.
    fn new(plain: &HttpConnector<Resolver>) -> Result<Self, ConnectError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(root_store(rustls_native_certs::load_native_certs())?)
            .with_no_client_auth();
        let builder = |config| HttpsConnectorBuilder::new().with_tls_config(config).https_only();
        Ok(Self {
            any: builder(config.clone()).enable_all_versions().wrap_connector(plain.clone()),
            only_http1: builder(config).enable_http1().wrap_connector(plain.clone()),
        })
    }
}

/// Builds the root store from the certificates that were `loaded`. A unit that is short of
/// descriptors loads only a part, which must not be kept: requests to some backends would fail for
/// as long as the unit runs.
fn root_store(loaded: CertificateResult) -> Result<RootCertStore, ConnectError> {
    for error in loaded.errors {
        match &error.kind {
            ErrorKind::Io { inner, .. } if is_short_of_descriptors(inner) => {
                return Err(error.into());
            }
            _ => {
                tracing::warn!(%error, "ignoring an unreadable root certificate of the system");
            }
        }
    }
    let mut roots = RootCertStore::empty();
    let (trusted, _) = roots.add_parsable_certificates(loaded.certs);
    if trusted == 0 {
        return Err("no readable root certificates on this system".into());
    }
    Ok(roots)
}

fn is_short_of_descriptors(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

impl Connector {
    /// Creates a connector that trusts the system's root certificates. Looks up host names with
    /// `resolver`: a lookup that takes longer than the connect timeout of an API continues, for the
    /// next connection.
    pub(crate) fn new(resolver: Resolver) -> Self {
        let mut plain = HttpConnector::new_with_resolver(resolver);
        plain.enforce_http(false);
        plain.set_nodelay(true);
        Self { plain, tls: Arc::default() }
    }

    /// Returns the TLS connectors, with the system's root certificates.
    ///
    /// # Errors
    /// If the root certificates cannot be read, or there are none. The next request tries again,
    /// because the unit may have been short of descriptors.
    async fn tls(&self) -> Result<Tls, ConnectError> {
        let mut slot = Arc::clone(&self.tls).lock_owned().await;
        if let Some(tls) = &*slot {
            return Ok(tls.clone());
        }
        let plain = self.plain.clone();
        // The task holds the slot and completes even if its request is cancelled, so the next
        // request can use what it read.
        let load = move || {
            let tls = Tls::new(&plain)?;
            *slot = Some(tls.clone());
            Ok(tls)
        };
        spawn_blocking(load).await?
    }

    /// Returns an open connection to `origin`, or `None` if the pool has none.
    pub(crate) async fn checkout(&self, origin: &Arc<Origin>, only_http1: bool) -> Option<Lease> {
        loop {
            let mut connection = origin.pool().take(only_http1)?;
            if connection.is_open().await {
                return Some(Lease::reused(connection, origin));
            }
        }
    }

    /// Returns a connection to `origin` if none is open: a new one, or a stream on one that another
    /// request is dialing.
    pub(crate) async fn dial_or_wait(
        &self,
        origin: &Arc<Origin>,
        only_http1: bool,
    ) -> Result<Lease, ConnectError> {
        for _ in 0..MAX_DIAL_WAITS {
            match origin.dial_or_wait(only_http1) {
                DialDecision::Dial(guard) => {
                    return self.dial_with(origin, only_http1, guard).await;
                }
                DialDecision::Wait(done) => done.cancelled().await,
            }
            if let Some(lease) = self.checkout(origin, only_http1).await {
                return Ok(lease);
            }
        }
        self.dial(origin, only_http1).await
    }

    /// Dials a new connection to `origin`.
    pub(crate) async fn dial(
        &self,
        origin: &Arc<Origin>,
        only_http1: bool,
    ) -> Result<Lease, ConnectError> {
        self.dial_with(origin, only_http1, None).await
    }

    /// Dials a new connection to `origin`. `guard` is dropped once other requests can share the
    /// connection or never will.
    async fn dial_with(
        &self,
        origin: &Arc<Origin>,
        only_http1: bool,
        guard: Option<DropGuard>,
    ) -> Result<Lease, ConnectError> {
        let base = origin.base().clone();
        match origin.protocols() {
            Protocols::Plain => {
                let stream = self.plain.clone().call(base).await?;
                self.http1(origin, stream.into_inner()).await
            }
            Protocols::PriorKnowledge => {
                let stream = self.plain.clone().call(base).await?;
                if only_http1 {
                    self.http1(origin, stream.into_inner()).await
                } else {
                    self.http2(origin, stream, guard).await
                }
            }
            Protocols::Tls => {
                let mut tls = self.tls().await?;
                if only_http1 {
                    let stream = tls.only_http1.call(base).await?;
                    return self.http1(origin, TokioIo::new(stream)).await;
                }
                let stream = tls.any.call(base).await?;
                let is_http2 = stream.connected().is_negotiated_h2();
                origin.set_negotiated(is_http2);
                if is_http2 {
                    self.http2(origin, stream, guard).await
                } else {
                    self.http1(origin, TokioIo::new(stream)).await
                }
            }
        }
    }

    async fn http1(
        &self,
        origin: &Arc<Origin>,
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<Lease, ConnectError> {
        let connection = Http1Connection::handshake(io).await?;
        Ok(Lease::fresh(PooledConnection::Http1(connection), origin))
    }

    async fn http2(
        &self,
        origin: &Arc<Origin>,
        io: impl Read + Write + Unpin + Send + 'static,
        guard: Option<DropGuard>,
    ) -> Result<Lease, ConnectError> {
        let connection = Http2Connection::handshake(io, guard).await?;
        let no_streams = || io::Error::other("the backend allows no concurrent streams");
        let permit = connection.try_acquire().ok_or_else(no_streams)?;
        origin.pool().add_http2(connection);
        Ok(Lease::fresh(PooledConnection::Http2(permit), origin))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use futures::FutureExt as _;
    use tokio::net::TcpListener;
    use tokio::time::{sleep, timeout};

    use super::*;

    fn loaded_with_error(errno: Errno) -> CertificateResult {
        let root = rcgen::generate_simple_self_signed(["root".to_owned()])
            .expect("the certificate is valid");
        let kind = ErrorKind::Io { inner: errno.into(), path: PathBuf::from("/roots/second.pem") };
        let mut loaded = CertificateResult::default();
        loaded.certs.push(root.cert.der().clone());
        loaded.errors.push(rustls_native_certs::Error { context: "a file", kind });
        loaded
    }

    #[tokio::test]
    async fn a_slow_name_lookup_delays_the_first_connection_only() {
        let backend = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = backend.local_addr().expect("is bound");
        let resolver = Resolver::new(move |_| {
            let lookup = sleep(Duration::from_millis(400)).map(move |()| Ok(vec![address]));
            lookup.boxed()
        });
        let connector = Connector::new(resolver);
        let url = format!("http://backend.example:{}/", address.port());
        let origin = Arc::new(Origin::new(url.parse().expect("is a URL")));
        let dial = || timeout(Duration::from_millis(300), connector.dial(&origin, true));
        assert!(dial().await.is_err(), "the lookup takes longer than the connect timeout");
        dial().await.expect("the lookup continued").expect("is connected");
        dial().await.expect("no lookup is needed").expect("is connected");
    }

    #[test]
    fn a_part_of_the_roots_is_trusted_only_if_the_rest_stays_unreadable() {
        assert_eq!(root_store(loaded_with_error(Errno::ACCESS)).expect("the other one").len(), 1);
        let error = root_store(loaded_with_error(Errno::MFILE))
            .expect_err("the roots are read again later");
        assert!(error.to_string().contains("/roots/second.pem"), "{error}");
    }
}
