//! Keeps the addresses of host names up to date.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use meridian_domain::DnsZone;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::Hosts;
use super::lookup::{Lookup, LookupError, Resolved};

/// Maximum number of lookups in progress, each of which has a socket.
const LOOKUPS: usize = 16;
/// Timeout of a lookup: that of the system's resolver for one name server, twice.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);
/// Shortest and longest interval between two lookups of a name. The longest bounds the time to notice
/// a new address of a name with a long time to live.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
const MAX_INTERVAL: Duration = Duration::from_secs(60);
/// Delay before the first retry of a failed lookup; it doubles up to [`MAX_INTERVAL`].
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// One task for each host name of an agent. Dropping it ends them.
pub(crate) struct Resolution {
    hosts: Arc<Hosts>,
    lookup: Lookup,
    permits: Arc<Semaphore>,
    tasks: HashMap<String, Option<AbortOnDropHandle<()>>>,
}

impl Resolution {
    pub(crate) fn new(hosts: Arc<Hosts>, lookup: Lookup) -> Self {
        Self { hosts, lookup, permits: Arc::new(Semaphore::new(LOOKUPS)), tasks: HashMap::new() }
    }

    /// Resolves these hosts from now on, and no others. A name in the zone itself is refused: its
    /// addresses would be looked up at this server.
    pub(crate) fn set(&mut self, zone: Option<&DnsZone>, hosts: &BTreeSet<String>) {
        let is_refused = |host: &str| zone.is_some_and(|zone| zone.contains(host));
        let keep = |host: &str| hosts.contains(host) && !is_refused(host);
        self.tasks.retain(|host, _| keep(host));
        self.hosts.retain(keep);
        for host in hosts {
            if is_refused(host) {
                tracing::warn!(%host, "gateway host is a name in the DNS zone, which is not resolved");
            } else if !self.tasks.contains_key(host) {
                self.hosts.add(host);
                let task = self.start(host);
                self.tasks.insert(host.clone(), task);
            }
        }
    }

    /// Publishes the address that a host consists of, or starts the task that resolves it.
    fn start(&self, host: &str) -> Option<AbortOnDropHandle<()>> {
        if let Some(address) = as_address(host) {
            self.hosts.warn(host, &[address]);
            self.hosts.publish(host, &[address], None);
            return None;
        }
        let name = Name {
            name: host.to_owned(),
            hosts: Arc::clone(&self.hosts),
            lookup: Arc::clone(&self.lookup),
            permits: Arc::clone(&self.permits),
            last: Vec::new(),
            is_failing: false,
        };
        Some(AbortOnDropHandle::new(tokio::spawn(name.keep_resolved())))
    }
}

/// Parses an address, which is in brackets if it is an IPv6 address.
fn as_address(host: &str) -> Option<IpAddr> {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.unwrap_or(host).parse().ok()
}

/// A name that is being resolved.
struct Name {
    name: String,
    hosts: Arc<Hosts>,
    lookup: Lookup,
    permits: Arc<Semaphore>,
    /// Addresses of the last successful lookup, so that each change is logged once.
    last: Vec<IpAddr>,
    is_failing: bool,
}

impl Name {
    async fn keep_resolved(mut self) {
        let mut retry = FIRST_RETRY;
        loop {
            match self.look_up().await {
                Ok(ttl) => {
                    retry = FIRST_RETRY;
                    sleep(Duration::from_secs(ttl.into()).clamp(MIN_INTERVAL, MAX_INTERVAL)).await;
                }
                Err(error) => {
                    self.warn(&error);
                    sleep(retry).await;
                    retry = (2 * retry).min(MAX_INTERVAL);
                }
            }
        }
    }

    /// Looks the name up, publishes its addresses, and returns their time to live in seconds.
    async fn look_up(&mut self) -> Result<u32, LookupError> {
        let failed = |cause: &str| LookupError { cause: cause.to_owned() };
        let resolved = {
            let permit = self.permits.acquire().await;
            let _permit = permit.map_err(|_| failed("shutting down"))?;
            let found = timeout(LOOKUP_TIMEOUT, (self.lookup)(self.name.clone())).await;
            found.map_err(|_| failed("timeout"))??
        };
        self.log_change(&resolved);
        if !self.hosts.publish(&self.name, &resolved.addresses, Some(resolved.ttl)) {
            return Err(failed("no usable address"));
        }
        if std::mem::take(&mut self.is_failing) {
            tracing::info!(host = self.name, "gateway host is resolved again");
        }
        Ok(resolved.ttl)
    }

    fn log_change(&mut self, resolved: &Resolved) {
        let mut addresses = resolved.addresses.clone();
        addresses.sort_unstable();
        if addresses != self.last {
            self.hosts.warn(&self.name, &addresses);
            self.last = addresses;
        }
    }

    fn warn(&mut self, error: &LookupError) {
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::warn!(
                host = self.name, %error,
                "cannot resolve a gateway host; responses have its last known addresses"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures::FutureExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_names_outside_of_the_zone_are_looked_up_as_long_as_an_agent_has_them() {
        let looked_up: Arc<Mutex<Vec<String>>> = Arc::default();
        let names = Arc::clone(&looked_up);
        let lookup: Lookup = Arc::new(move |name| {
            names.lock().expect("is whole").push(name);
            async { Err(LookupError { cause: "no such name".to_owned() }) }.boxed()
        });
        let hosts = ["gw.example.net", "zone.example.net", "a.ZONE.example.net.", "203.0.113.1"];
        let hosts: BTreeSet<_> = hosts.map(str::to_owned).into();
        let zone = "zone.example.net".parse().expect("is a zone");
        let mut resolution = Resolution::new(Arc::new(Hosts::new(false)), lookup);
        resolution.set(Some(&zone), &hosts);
        sleep(Duration::from_secs(3_600)).await;
        let first = std::mem::take(&mut *looked_up.lock().expect("is whole"));
        assert!(first.iter().all(|name| name == "gw.example.net"), "{first:?}");
        // 1 s, 2 s, 4 s and so on up to once a minute.
        assert!((60..70).contains(&first.len()), "{}", first.len());

        resolution.set(Some(&zone), &BTreeSet::new());
        sleep(Duration::from_secs(3_600)).await;
        assert!(looked_up.lock().expect("is whole").is_empty());
    }
}
