//! A backend's scheme, host and port, and the connections to it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use hyper::Uri;
use hyper::header::HeaderValue;
use hyper::http::uri::{Authority, Scheme};

use super::pool::{Pool, Turn};
use super::trouble::Trouble;

/// A backend's scheme, host and port, and the connections to it. A connection belongs to the worker
/// that made it: its events come to that one's thread.
#[derive(Debug)]
pub(crate) struct Origin {
    base: Uri,
    host: HeaderValue,
    protocols: Protocols,
    /// Whether a backend that could have chosen HTTP/2 did not, the last time.
    prefers_http1: AtomicBool,
    pools: Box<[Mutex<Pool>]>,
    pub(crate) trouble: Trouble,
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
    /// The origin of `base`, whose path is "/", for `workers` workers.
    pub(crate) fn new(base: Uri, workers: usize) -> Self {
        let host = base.authority().map_or("", Authority::as_str);
        let host = HeaderValue::from_str(host).expect("an authority is made of visible characters");
        let protocols = match base.scheme_str() {
            Some("https") => Protocols::Tls,
            Some("h2c") => Protocols::PriorKnowledge,
            _ => Protocols::Plain,
        };
        let pools = (0..workers).map(|_| Mutex::default()).collect();
        let (prefers_http1, trouble) = (AtomicBool::new(false), Trouble::default());
        Self { base, host, protocols, prefers_http1, pools, trouble }
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

    /// Whether a call of `worker` that found no connection makes one.
    pub(super) fn turn(&self, worker: usize, only_http1: bool) -> Turn {
        let has_room = match self.protocols {
            Protocols::Plain => false,
            Protocols::Tls => !self.prefers_http1.load(Ordering::Relaxed),
            Protocols::PriorKnowledge => true,
        };
        if has_room && !only_http1 { self.pool(worker).turn() } else { Turn::Connect(None) }
    }

    /// Closes what `worker` did not use for long. To be called every few seconds.
    pub(crate) fn sweep(&self, worker: usize, now: Instant) {
        self.pool(worker).sweep(now);
    }

    pub(super) fn pool(&self, worker: usize) -> MutexGuard<'_, Pool> {
        self.pools[worker].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
