//! A backend's scheme, host and port, and the connections to it that wait for calls.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::SendRequest;
use hyper::header::HeaderValue;
use hyper::{Request, Response, Uri};

use super::upload::{Progress, Upload};

/// Idle connections that a worker keeps to a backend.
const MOST_IDLE: usize = 256;
/// How long it keeps one. Shorter than what most servers allow, so that it is rarely they who close.
const LONGEST_IDLE: Duration = Duration::from_secs(30);

/// A backend's scheme, host and port, and the connections to it that wait for calls. A connection
/// belongs to the worker that made it: its events come to that one's thread.
#[derive(Debug)]
pub(crate) struct Origin {
    base: Uri,
    host: HeaderValue,
    idle: Box<[Mutex<VecDeque<Idle>>]>,
}

#[derive(Debug)]
struct Idle {
    sender: SendRequest<Upload>,
    since: Instant,
}

/// A connection that a call has for itself.
pub(super) struct Lease {
    sender: SendRequest<Upload>,
    origin: Arc<Origin>,
    worker: usize,
    progress: Option<Arc<Progress>>,
}

impl Origin {
    /// The origin of `base`, whose path is "/", for `workers` workers.
    pub(crate) fn new(base: Uri, workers: usize) -> Self {
        let host = base.authority().map_or("", |authority| authority.as_str());
        let host = HeaderValue::from_str(host).expect("an authority is made of visible characters");
        Self { base, host, idle: (0..workers).map(|_| Mutex::default()).collect() }
    }

    /// Its URL.
    pub(crate) fn base(&self) -> &Uri {
        &self.base
    }

    /// What goes into the Host field.
    pub(super) fn host(&self) -> HeaderValue {
        self.host.clone()
    }

    pub(super) fn lease(self: &Arc<Self>, sender: SendRequest<Upload>, worker: usize) -> Lease {
        Lease { sender, origin: Arc::clone(self), worker, progress: None }
    }

    /// A connection of `worker` that is open, as far as is known.
    pub(super) async fn take(self: &Arc<Self>, worker: usize) -> Option<Lease> {
        loop {
            // The newest is the least likely to be closed by the backend at this moment.
            let Idle { mut sender, .. } = self.idle(worker).pop_back()?;
            // Where the previous answer has just ended, the connection may need a moment.
            if sender.is_ready() || (!sender.is_closed() && sender.ready().await.is_ok()) {
                return Some(self.lease(sender, worker));
            }
        }
    }

    /// Closes what `worker` did not use for long. To be called every few seconds.
    pub(crate) fn sweep(&self, worker: usize, now: Instant) {
        self.idle(worker).retain(|idle| {
            !idle.sender.is_closed() && now.saturating_duration_since(idle.since) < LONGEST_IDLE
        });
    }

    fn idle(&self, worker: usize) -> MutexGuard<'_, VecDeque<Idle>> {
        self.idle[worker].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// Sends `request`, of whose body `progress` tells.
    pub(super) fn send(
        &mut self,
        request: Request<Upload>,
        progress: Option<Arc<Progress>>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Upload>>>> + use<>
    {
        self.progress = progress;
        self.sender.try_send_request(request)
    }

    /// Lets other calls have the connection. To be called at the end of an answer.
    pub(super) fn give_back(self) {
        // An answer may come before its call was read. What remains of that is in the way.
        if self.sender.is_closed() || self.progress.is_some_and(|progress| !progress.is_over()) {
            return;
        }
        let mut idle = self.origin.idle(self.worker);
        if idle.len() < MOST_IDLE {
            idle.push_back(Idle { sender: self.sender, since: Instant::now() });
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("base", &self.origin.base).finish_non_exhaustive()
    }
}
