//! Tunnels: connections that leave HTTP, such as WebSockets.

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

use crate::account::Account;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The tunnels of a worker.
#[derive(Debug, Clone)]
pub(crate) struct Tunnels {
    /// A drain waits for what is in here.
    pub(crate) tracker: TaskTracker,
    /// Set when a tunnel has no more than `patience` left.
    pub(crate) finish: CancellationToken,
    pub(crate) patience: Duration,
}

/// A connection of a caller and one of a backend that leave HTTP together.
#[derive(Debug)]
pub(crate) struct Tunnel {
    caller: OnUpgrade,
    backend: OnUpgrade,
    idle: Duration,
}

/// The wish of a caller to leave HTTP.
pub(super) struct Upgrade {
    protocol: HeaderValue,
    caller: OnUpgrade,
}

impl Upgrade {
    /// What a call wishes. A wish for HTTP/2 is not heard: calls that follow would get past the unit.
    pub(super) fn wished(parts: &mut Parts) -> Option<Self> {
        if parts.version != Version::HTTP_11 || !names_upgrade(&parts.headers) {
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
        let caller = parts.extensions.remove::<OnUpgrade>()?;
        Some(Self { protocol, caller })
    }

    /// Adds the wish to the fields of the call that goes to the backend.
    pub(super) fn ask(&self, headers: &mut HeaderMap) {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, self.protocol.clone());
    }

    /// What begins when both connections have left HTTP, as the backend agreed to by `answer`. From
    /// that, the fields of its connection were removed; those that the caller needs are added.
    pub(super) fn agreed<B>(
        self,
        answer: &mut Response<B>,
        protocol: HeaderValue,
        idle: Duration,
    ) -> Tunnel {
        let backend = hyper::upgrade::on(&mut *answer);
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        answer.headers_mut().insert(UPGRADE, protocol);
        Tunnel { caller: self.caller, backend, idle }
    }
}

impl Tunnel {
    /// Joins the two connections; `account` ends with them.
    pub(crate) fn start(self, tunnels: &Tunnels, account: Account) {
        let (finish, patience) = (tunnels.finish.clone(), tunnels.patience);
        let joined = async move {
            let (caller, backend) = tokio::try_join!(self.caller, self.backend)?;
            join(caller, backend, self.idle).await
        };
        tunnels.tracker.spawn(async move {
            let ended: Result<(), Error> = tokio::select! {
                ended = joined => ended,
                () = async { finish.cancelled().await; sleep(patience).await } => {
                    tracing::warn!("a tunnel that outlasted the drain was cut");
                    Ok(())
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a tunnel broke");
            }
            drop(account);
        });
    }
}

/// Whether Connection names Upgrade.
fn names_upgrade(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CONNECTION).iter();
    let mut names = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    names.any(|name| name.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}

/// Copies both ways until both ends are done, or nothing flows for `idle`.
async fn join(caller: Upgraded, backend: Upgraded, idle: Duration) -> Result<(), Error> {
    let flow = Arc::new(AtomicU64::new(0));
    let mut caller = Counted { inner: TokioIo::new(caller), flow: Arc::clone(&flow) };
    let mut backend = Counted { inner: TokioIo::new(backend), flow: Arc::clone(&flow) };
    let copying = copy_bidirectional(&mut caller, &mut backend);
    tokio::pin!(copying);
    loop {
        let before = flow.load(Ordering::Relaxed);
        match timeout(idle, copying.as_mut()).await {
            Ok(copied) => return copied.map(|_| ()).map_err(Into::into),
            Err(_) if flow.load(Ordering::Relaxed) == before => {
                return Err(io::Error::from(io::ErrorKind::TimedOut).into());
            }
            Err(_) => {}
        }
    }
}

/// One end of a tunnel, which counts what it hands over.
struct Counted {
    inner: TokioIo<Upgraded>,
    flow: Arc<AtomicU64>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if polled.is_ready() {
            self.flow.fetch_add(1, Ordering::Relaxed);
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
            self.flow.fetch_add(1, Ordering::Relaxed);
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
