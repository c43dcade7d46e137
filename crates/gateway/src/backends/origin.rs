//! A backend's scheme, host and port, and the connections to it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use hyper::Uri;
use hyper::header::HeaderValue;
use hyper::http::uri::{Authority, Scheme};

use super::backend_error_log::BackendErrorLog;
use super::pool::{DialDecision, Pool};

/// A backend's scheme, host and port, and the connections of one worker to it, whose events are
/// handled on that worker's thread. Aligned so that the origins of two workers never share a cache
/// line.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Origin {
    base: Uri,
    host: HeaderValue,
    protocols: Protocols,
    /// True if the backend negotiated HTTP/1.1 on the last connection although HTTP/2 was offered.
    prefers_http1: AtomicBool,
    pool: Mutex<Pool>,
    pub(crate) error_log: Arc<BackendErrorLog>,
}

/// Protocols of a backend according to its URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocols {
    /// http: HTTP/1.1.
    Plain,
    /// https: HTTP/1.1 or HTTP/2, as negotiated.
    Tls,
    /// h2c: HTTP/2 with prior knowledge. A request for an upgrade is still sent over HTTP/1.1,
    /// because only HTTP/1.1 supports that.
    PriorKnowledge,
}

impl Origin {
    /// Creates the origin of `base`, whose path is "/".
    pub(crate) fn new(base: Uri) -> Self {
        Self::with(base, Arc::default())
    }

    /// Creates the same origin for another worker, with its own pool.
    pub(crate) fn for_another_worker(&self) -> Self {
        // Parsed again because a clone would share its reference counts between the workers.
        let base = self.base.to_string().parse().expect("the URL was parsed before");
        Self::with(base, Arc::clone(&self.error_log))
    }

    fn with(base: Uri, error_log: Arc<BackendErrorLog>) -> Self {
        let host = base.authority().map_or("", Authority::as_str);
        let host =
            HeaderValue::from_str(host).expect("an authority consists of visible characters");
        let protocols = match base.scheme_str() {
            Some("https") => Protocols::Tls,
            Some("h2c") => Protocols::PriorKnowledge,
            _ => Protocols::Plain,
        };
        let (prefers_http1, pool) = (AtomicBool::new(false), Mutex::default());
        Self { base, host, protocols, prefers_http1, pool, error_log }
    }

    /// Returns the URL.
    pub(crate) fn base(&self) -> &Uri {
        &self.base
    }

    /// Returns the value of the Host header.
    pub(super) fn host(&self) -> HeaderValue {
        self.host.clone()
    }

    pub(super) fn protocols(&self) -> Protocols {
        self.protocols
    }

    /// Returns the scheme of HTTP/2 requests.
    pub(super) fn scheme(&self) -> Scheme {
        if self.protocols == Protocols::Tls { Scheme::HTTPS } else { Scheme::HTTP }
    }

    /// Records the negotiated protocol.
    pub(super) fn set_negotiated(&self, is_http2: bool) {
        self.prefers_http1.store(!is_http2, Ordering::Relaxed);
    }

    /// Decides whether a request that found no open connection dials one or waits for one that
    /// another request is dialing.
    pub(super) fn dial_or_wait(&self, only_http1: bool) -> DialDecision {
        let may_share = match self.protocols {
            Protocols::Plain => false,
            Protocols::Tls => !self.prefers_http1.load(Ordering::Relaxed),
            Protocols::PriorKnowledge => true,
        };
        if may_share && !only_http1 { self.pool().dial_or_wait() } else { DialDecision::Dial(None) }
    }

    /// Closes idle connections. Must be called every few seconds.
    pub(crate) fn sweep(&self, now: Instant) {
        self.pool().sweep(now);
    }

    pub(super) fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
