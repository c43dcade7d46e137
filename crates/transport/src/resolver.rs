//! Name resolution that a connection attempt never waits for twice.
//!
//! The system's resolver can take seconds, for example if the first of its name servers is down
//! (resolv.conf(5): 5 s by default). A connection attempt has less time, and would fail each time.
//! A lookup therefore runs in a task of its own, which outlives the attempt that started it, and
//! later attempts use the last addresses that it found while the next lookup refreshes them. The
//! addresses of a name that was not used for a while are looked up first, as long as that is fast. The
//! attempts may belong to several runtimes; a lookup ends with the runtime that started it.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use hyper_util::client::legacy::connect::dns::Name;
use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::{Instant, timeout};
use tower::Service;

/// Age of addresses at which a connection attempt starts a new lookup. The attempt itself uses the
/// addresses that are known.
const REFRESH_AFTER: Duration = Duration::from_secs(1);
/// Age of addresses above which a connection attempt waits for the new lookup first, because the name
/// may have moved long ago.
const STALE_AFTER: Duration = Duration::from_secs(30);
/// Maximum time that such an attempt waits, before it uses the known addresses.
const STALE_WAIT: Duration = Duration::from_millis(250);
/// Maximum number of names whose addresses are kept. Names come from configuration and from
/// registered agents.
const MAX_NAMES: usize = 1_024;

type Find = dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync;
type Found = Result<Vec<SocketAddr>, LookupError>;

/// Failure of a lookup, shared by all connection attempts that waited for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct LookupError {
    cause: String,
}

/// Resolves names in the background and remembers the last addresses of each. Cheap to clone; all
/// clones share the addresses.
#[derive(Clone)]
pub struct Resolver {
    lookup: Arc<Find>,
    names: Arc<Mutex<HashMap<String, Entry>>>,
}

#[derive(Default)]
struct Entry {
    /// Addresses of the last successful lookup, and its time.
    last: Option<(Vec<SocketAddr>, Instant)>,
    /// The latest lookup.
    lookup: Option<Lookup>,
}

struct Lookup {
    found: Shared<BoxFuture<'static, Found>>,
    /// Task that drives it. Aborted with the runtime that started it, while other runtimes of the
    /// process, such as those of the other workers of a unit, still use the resolver.
    task: AbortHandle,
}

impl Entry {
    fn is_in_progress(&self) -> bool {
        let in_progress = |it: &Lookup| it.found.peek().is_none() && !it.task.is_finished();
        self.lookup.as_ref().is_some_and(in_progress)
    }

    fn is_fresh(&self) -> bool {
        self.last.as_ref().is_some_and(|(_, at)| at.elapsed() < REFRESH_AFTER)
    }
}

impl Resolver {
    /// Creates a resolver that uses `lookup`. The ports of the addresses are ignored.
    #[must_use]
    pub fn new(
        lookup: impl Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self { lookup: Arc::new(lookup), names: Arc::default() }
    }

    /// Returns the last addresses of `name`, or waits for the first lookup, and briefly for the next
    /// one if they are old. Cancel-safe: the lookup continues.
    async fn resolve(self, name: String) -> Found {
        let (last, lookup) = {
            let mut names = self.names();
            if names.len() >= MAX_NAMES {
                names.retain(|known, entry| *known == name || entry.is_in_progress());
            }
            let entry = names.entry(name.clone()).or_default();
            if !entry.is_in_progress() && !entry.is_fresh() {
                entry.lookup = Some(self.start(name));
            }
            (entry.last.clone(), entry.lookup.as_ref().map(|lookup| lookup.found.clone()))
        };
        match (last, lookup) {
            (Some((addresses, at)), Some(lookup)) if at.elapsed() >= STALE_AFTER => {
                match timeout(STALE_WAIT, lookup).await {
                    Ok(Ok(found)) => Ok(found),
                    Ok(Err(_)) | Err(_) => Ok(addresses),
                }
            }
            (Some((addresses, _)), _) => Ok(addresses),
            (None, Some(lookup)) => lookup.await,
            (None, None) => unreachable!("a name without addresses has a lookup"),
        }
    }

    fn start(&self, name: String) -> Lookup {
        let (resolver, looked_up) = (self.clone(), (self.lookup)(name.clone()));
        let lookup = async move {
            let found = match looked_up.await {
                Ok(addresses) if addresses.is_empty() => Err("no addresses".to_owned()),
                Ok(addresses) => Ok(addresses),
                Err(error) => Err(error.to_string()),
            };
            match found {
                Ok(addresses) => {
                    let last = Some((addresses.clone(), Instant::now()));
                    resolver.names().entry(name).or_default().last = last;
                    Ok(addresses)
                }
                Err(cause) => {
                    tracing::debug!(name, cause, "name lookup failed");
                    Err(LookupError { cause })
                }
            }
        };
        let found = lookup.boxed().shared();
        let task = tokio::spawn(found.clone()).abort_handle();
        Lookup { found, task }
    }

    fn names(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The system's resolver. One for the process, so that no attempt repeats the lookup of another.
static SYSTEM: LazyLock<Resolver> = LazyLock::new(|| {
    Resolver::new(|name| {
        let lookup = spawn_blocking(move || Ok((name.as_str(), 0).to_socket_addrs()?.collect()));
        async move { lookup.await? }.boxed()
    })
});

impl Default for Resolver {
    /// Returns the system's resolver. Its addresses are shared by the whole process.
    fn default() -> Self {
        SYSTEM.clone()
    }
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = LookupError;
    type Future = BoxFuture<'static, Result<Self::Response, LookupError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), LookupError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let found = self.clone().resolve(name.as_str().to_owned());
        found.map(|found| found.map(Vec::into_iter)).boxed()
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
