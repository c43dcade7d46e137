//! A backend's scheme, host and port, and the connections to it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use hyper::Uri;
use hyper::header::HeaderValue;
use hyper::http::uri::{Authority, Scheme};

use super::pool::{Pool, Turn};
use super::trouble::Trouble;

/// A backend's scheme, host and port, and the connections of one worker to it: their events come to
/// that one's thread. Aligned so that those of two workers never share a line of a cache.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Origin {
    base: Uri,
    host: HeaderValue,
    protocols: Protocols,
    /// Whether a backend that could have chosen HTTP/2 did not, the last time.
    prefers_http1: AtomicBool,
    pool: Mutex<Pool>,
    pub(crate) trouble: Arc<Trouble>,
}

/// What a backend's URL says of the protocols that it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocols {
    /// http: HTTP/1.1.
    Plain,
    /// https: what it chooses.
    Tls,
    /// h2c: HTTP/2, known beforehand. A call that wants to leave HTTP goes there by HTTP/1.1 all the
    /// same, because that is the only way to ask for it.
    PriorKnowledge,
}

impl Origin {
    /// The origin of `base`, whose path is "/".
    pub(crate) fn new(base: Uri) -> Self {
        Self::with(base, Arc::default())
    }

    /// The same for another worker, which has connections of its own.
    pub(crate) fn for_another_worker(&self) -> Self {
        // A clone would count the clones of both.
        let base = self.base.to_string().parse().expect("it was parsed before");
        Self::with(base, Arc::clone(&self.trouble))
    }

    fn with(base: Uri, trouble: Arc<Trouble>) -> Self {
        let host = base.authority().map_or("", Authority::as_str);
        let host = HeaderValue::from_str(host).expect("an authority is made of visible characters");
        let protocols = match base.scheme_str() {
            Some("https") => Protocols::Tls,
            Some("h2c") => Protocols::PriorKnowledge,
            _ => Protocols::Plain,
        };
        let (prefers_http1, pool) = (AtomicBool::new(false), Mutex::default());
        Self { base, host, protocols, prefers_http1, pool, trouble }
    }

    /// Its URL.
    pub(crate) fn base(&self) -> &Uri {
        &self.base
    }

    /// What goes into the Host field.
    pub(super) fn host(&self) -> HeaderValue {
        self.host.clone()
    }

    pub(super) fn protocols(&self) -> Protocols {
        self.protocols
    }

    /// The scheme of a call by HTTP/2.
    pub(super) fn scheme(&self) -> Scheme {
        if self.protocols == Protocols::Tls { Scheme::HTTPS } else { Scheme::HTTP }
    }

    /// Remembers what the backend chose.
    pub(super) fn chose(&self, is_http2: bool) {
        self.prefers_http1.store(!is_http2, Ordering::Relaxed);
    }

    /// Whether a call that found no connection makes one.
    pub(super) fn turn(&self, only_http1: bool) -> Turn {
        let has_room = match self.protocols {
            Protocols::Plain => false,
            Protocols::Tls => !self.prefers_http1.load(Ordering::Relaxed),
            Protocols::PriorKnowledge => true,
        };
        if has_room && !only_http1 { self.pool().turn() } else { Turn::Connect(None) }
    }

    /// Closes what was not used for long. To be called every few seconds.
    pub(crate) fn sweep(&self, now: Instant) {
        self.pool().sweep(now);
    }

    pub(super) fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
