//! Connections to backends: HTTP/1.1 or HTTP/2, over TLS where the backend's URL says https.

use std::io;
use std::sync::Arc;

use hyper::rt::{Read, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::{Connection as _, HttpConnector};
use hyper_util::rt::TokioIo;
use rustix::io::Errno;
use rustls::{ClientConfig, RootCertStore};
use rustls_native_certs::{CertificateResult, ErrorKind};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio_util::sync::DropGuard;
use tower::Service as _;

use super::exclusive::Exclusive;
use super::lease::Lease;
use super::multiplexed::Multiplexed;
use super::origin::{Origin, Protocols};
use super::pool::{Found, Turn};

/// For how many connections that others make a call waits, before it makes one of its own. With the
/// first the backend says how many calls it has room for, by which the second ones are shared.
const WAITS: usize = 2;

/// Why there is no connection.
pub(crate) type ConnectError = Box<dyn std::error::Error + Send + Sync>;

/// Makes connections.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    plain: HttpConnector,
    /// From the first use on: reading the machine's roots takes longer than all else of a unit's
    /// start.
    tls: Arc<Mutex<Option<Tls>>>,
}

#[derive(Debug, Clone)]
struct Tls {
    /// Lets the backend choose the protocol.
    any: HttpsConnector<HttpConnector>,
    only_http1: HttpsConnector<HttpConnector>,
}

impl Tls {
    /// Trusts whom the machine trusts.
    fn over(plain: &HttpConnector) -> Result<Self, ConnectError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots(rustls_native_certs::load_native_certs())?)
            .with_no_client_auth();
        let builder = |config| HttpsConnectorBuilder::new().with_tls_config(config).https_only();
        Ok(Self {
            any: builder(config.clone()).enable_all_versions().wrap_connector(plain.clone()),
            only_http1: builder(config).enable_http1().wrap_connector(plain.clone()),
        })
    }
}

/// The machine's roots, of what was found of them. A unit that is short of descriptors finds a part:
/// with that, callers of some backends would be refused for as long as it lives.
fn roots(found: CertificateResult) -> Result<RootCertStore, ConnectError> {
    for error in found.errors {
        match &error.kind {
            ErrorKind::Io { inner, .. } if is_short_of_descriptors(inner) => {
                return Err(error.into());
            }
            _ => tracing::warn!(%error, "a root certificate of the machine cannot be read"),
        }
    }
    let mut roots = RootCertStore::empty();
    let (trusted, _) = roots.add_parsable_certificates(found.certs);
    if trusted == 0 {
        return Err("the machine has no root certificates that can be read".into());
    }
    Ok(roots)
}

fn is_short_of_descriptors(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

impl Connector {
    /// A connector that trusts whom the machine trusts.
    pub(crate) fn new() -> Self {
        let mut plain = HttpConnector::new();
        plain.enforce_http(false);
        plain.set_nodelay(true);
        Self { plain, tls: Arc::default() }
    }

    /// What connects over TLS, with the machine's roots.
    ///
    /// # Errors
    /// If the machine's roots cannot be read, or there are none. The next call tries again: a unit
    /// may have been short of descriptors.
    async fn tls(&self) -> Result<Tls, ConnectError> {
        let mut slot = Arc::clone(&self.tls).lock_owned().await;
        if let Some(tls) = &*slot {
            return Ok(tls.clone());
        }
        let plain = self.plain.clone();
        // It keeps the slot and ends without its call as well: what was read for one that gave up
        // serves the next.
        let read = move || {
            let tls = Tls::over(&plain)?;
            *slot = Some(tls.clone());
            Ok(tls)
        };
        spawn_blocking(read).await?
    }

    /// A connection to `origin` that is open already, of HTTP/1.1 where it has to be.
    pub(crate) async fn open(&self, origin: &Arc<Origin>, only_http1: bool) -> Option<Lease> {
        loop {
            let mut found = origin.pool().take(only_http1)?;
            if found.is_open().await {
                return Some(Lease::on(found, origin));
            }
        }
    }

    /// A connection to `origin` where none is open: a new one, or a place on one that another call
    /// makes at this moment.
    pub(crate) async fn join(
        &self,
        origin: &Arc<Origin>,
        only_http1: bool,
    ) -> Result<Lease, ConnectError> {
        for _ in 0..WAITS {
            match origin.turn(only_http1) {
                Turn::Connect(guard) => return self.make(origin, only_http1, guard).await,
                Turn::Wait(over) => over.cancelled().await,
            }
            if let Some(lease) = self.open(origin, only_http1).await {
                return Ok(lease);
            }
        }
        self.connect(origin, only_http1).await
    }

    /// A new connection to `origin`.
    pub(crate) async fn connect(
        &self,
        origin: &Arc<Origin>,
        only_http1: bool,
    ) -> Result<Lease, ConnectError> {
        self.make(origin, only_http1, None).await
    }

    /// A new connection to `origin`; `guard` is dropped when others can have it too, or never will.
    async fn make(
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
                origin.chose(is_http2);
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
        let connection = Exclusive::begin(io).await?;
        Ok(Lease::on_new(Found::Http1(connection), origin))
    }

    async fn http2(
        &self,
        origin: &Arc<Origin>,
        io: impl Read + Write + Unpin + Send + 'static,
        guard: Option<DropGuard>,
    ) -> Result<Lease, ConnectError> {
        let connection = Multiplexed::begin(io, guard).await?;
        let none = || io::Error::other("the backend takes no calls");
        let seat = connection.seat().ok_or_else(none)?;
        origin.pool().share(connection);
        Ok(Lease::on_new(Found::Http2(seat), origin))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn found(errno: Errno) -> CertificateResult {
        let root = rcgen::generate_simple_self_signed(["root".to_owned()]).expect("is made");
        let kind = ErrorKind::Io { inner: errno.into(), path: PathBuf::from("/roots/second.pem") };
        let mut found = CertificateResult::default();
        found.certs.push(root.cert.der().clone());
        found.errors.push(rustls_native_certs::Error { context: "a file", kind });
        found
    }

    #[test]
    fn a_part_of_the_roots_is_trusted_only_if_the_rest_stays_unreadable() {
        assert_eq!(roots(found(Errno::ACCESS)).expect("the other one").len(), 1);
        let error = roots(found(Errno::MFILE)).expect_err("is read again later");
        assert!(error.to_string().contains("/roots/second.pem"), "{error}");
    }
}
