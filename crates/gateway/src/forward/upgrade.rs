//! Tunnels: connections that are upgraded from HTTP, such as WebSockets.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::header::{CONNECTION, HeaderMap, HeaderValue, UPGRADE};
use hyper::http::request::Parts;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Response, Version};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::request_record::RequestRecord;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The tunnels of a worker.
#[derive(Debug, Clone)]
pub(crate) struct Tunnels {
    /// Tracker of the running tunnels, which a drain waits for.
    pub(crate) tracker: TaskTracker,
    /// Cancelled when the tunnels have to finish within `finish_timeout`.
    pub(crate) finish: CancellationToken,
    pub(crate) finish_timeout: Duration,
}

/// The connections of a client and a backend that are upgraded together.
#[derive(Debug)]
pub(crate) struct Tunnel {
    client: OnUpgrade,
    backend: OnUpgrade,
    idle: Duration,
}

/// A client's request to upgrade its connection.
pub(super) struct Upgrade {
    protocol: HeaderValue,
    client: OnUpgrade,
}

impl Upgrade {
    /// Takes the upgrade that a request asks for, if any. An upgrade to HTTP/2 is ignored: further
    /// requests would bypass the unit.
    pub(super) fn from_request(parts: &mut Parts) -> Option<Self> {
        if parts.version != Version::HTTP_11 || !lists_upgrade(&parts.headers) {
            return None;
        }
        let mut protocols = parts.headers.get_all(UPGRADE).iter();
        let protocol = protocols.next()?.clone();
        let is_http =
            |name: &str| name.trim_start().get(..2).is_some_and(|h| h.eq_ignore_ascii_case("h2"));
        let text = protocol.to_str().ok()?;
        if protocols.next().is_some() || text.split(',').any(is_http) {
            return None;
        }
        let client = parts.extensions.remove::<OnUpgrade>()?;
        Some(Self { protocol, client })
    }

    /// Adds the upgrade to the headers of the request to the backend.
    pub(super) fn add_to(&self, headers: &mut HeaderMap) {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, self.protocol.clone());
    }

    /// Accepts the upgrade after the backend agreed in `response`: restores the hop-by-hop headers
    /// that the client needs, and returns the tunnel that starts once both connections are
    /// upgraded.
    pub(super) fn accept<B>(
        self,
        response: &mut Response<B>,
        protocol: HeaderValue,
        idle: Duration,
    ) -> Tunnel {
        let backend = hyper::upgrade::on(&mut *response);
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        response.headers_mut().insert(UPGRADE, protocol);
        Tunnel { client: self.client, backend, idle }
    }
}

impl Tunnel {
    /// Spawns a task that copies data between the two connections. `record` ends with them.
    pub(crate) fn start(self, tunnels: &Tunnels, record: RequestRecord) {
        let (finish, finish_timeout) = (tunnels.finish.clone(), tunnels.finish_timeout);
        let joined = async move {
            let (client, backend) = tokio::try_join!(self.client, self.backend)?;
            copy_until_closed(client, backend, self.idle).await
        };
        tunnels.tracker.spawn(async move {
            let ended: Result<(), Error> = tokio::select! {
                ended = joined => ended,
                () = async { finish.cancelled().await; sleep(finish_timeout).await } => {
                    tracing::warn!("closed a tunnel that was still open at the end of the drain");
                    Ok(())
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "tunnel failed");
            }
            drop(record);
        });
    }
}

/// Returns true if Connection lists Upgrade.
fn lists_upgrade(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CONNECTION).iter();
    let mut names = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    names.any(|name| name.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}

/// Copies in both directions until both ends are closed, or fails after `idle` without data.
async fn copy_until_closed(
    client: Upgraded,
    backend: Upgraded,
    idle: Duration,
) -> Result<(), Error> {
    let operations = Arc::new(AtomicU64::new(0));
    let mut client = Counted { inner: TokioIo::new(client), operations: Arc::clone(&operations) };
    let mut backend = Counted { inner: TokioIo::new(backend), operations: Arc::clone(&operations) };
    let copying = copy_bidirectional(&mut client, &mut backend);
    tokio::pin!(copying);
    loop {
        let before = operations.load(Ordering::Relaxed);
        match timeout(idle, copying.as_mut()).await {
            Ok(copied) => return copied.map(|_| ()).map_err(Into::into),
            Err(_) if operations.load(Ordering::Relaxed) == before => {
                return Err(io::Error::from(io::ErrorKind::TimedOut).into());
            }
            Err(_) => {}
        }
    }
}

/// One end of a tunnel, which counts completed reads and writes.
struct Counted {
    inner: TokioIo<Upgraded>,
    operations: Arc<AtomicU64>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if polled.is_ready() {
            self.operations.fetch_add(1, Ordering::Relaxed);
        }
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, bytes);
        if polled.is_ready() {
            self.operations.fetch_add(1, Ordering::Relaxed);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
