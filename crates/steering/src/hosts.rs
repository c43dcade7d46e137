//! Addresses of the hosts that agents advertise for their gateways.
//!
//! A host is an address or a name. Names are resolved in the background, so that no response waits
//! for another name server, and the last addresses are kept while a name cannot be resolved.

pub mod lookup;
pub(crate) mod resolution;
mod usable;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use crate::dependency::Dependency;
use usable::Verdict;

/// Maximum number of addresses of a host: more than a gateway has, even with several networks.
const ADDRESSES_PER_HOST: usize = 16;

/// Addresses of a host.
#[derive(Debug)]
pub(crate) struct Host {
    /// Usable addresses, sorted; empty if none is known.
    pub(crate) addresses: Vec<IpAddr>,
    /// Time to live of the addresses in seconds, if they were resolved from a name.
    pub(crate) ttl: Option<u32>,
    /// Superseded when the host gets other addresses.
    pub(crate) dependency: Dependency,
}

impl Host {
    fn unknown() -> Arc<Self> {
        let dependency = Dependency::current();
        Arc::new(Self { addresses: Vec::new(), ttl: None, dependency })
    }
}

/// The hosts of the registered agents.
#[derive(Debug)]
pub(crate) struct Hosts {
    /// Set for a cluster on one machine.
    allow_loopback: bool,
    /// As many as there are agents at most, which the domain limits.
    known: RwLock<HashMap<String, Arc<Host>>>,
}

impl Hosts {
    pub(crate) fn new(allow_loopback: bool) -> Self {
        Self { allow_loopback, known: RwLock::default() }
    }

    /// Returns what is known of a host.
    pub(crate) fn get(&self, host: &str) -> Arc<Host> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(host).cloned().unwrap_or_else(Host::unknown)
    }

    /// Replaces the addresses of a host, unless they are the same. Addresses that clients cannot or
    /// must not use are left out. Returns false, and keeps the previous ones, if none is left.
    fn publish(&self, host: &str, addresses: &[IpAddr], ttl: Option<u32>) -> bool {
        let usable = self.usable(host, addresses);
        if usable.is_empty() {
            return false;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let previous = known.get(host);
        if previous.is_some_and(|host| host.addresses == usable && host.ttl == ttl) {
            return true;
        }
        let dependency = Dependency::current();
        let current = Arc::new(Host { addresses: usable, ttl, dependency });
        if let Some(previous) = known.insert(host.to_owned(), current) {
            previous.dependency.supersede();
        }
        true
    }

    /// Adds a host whose addresses are not known yet, so that answers built without them are
    /// invalidated once they are.
    fn add(&self, host: &str) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.entry(host.to_owned()).or_insert_with(Host::unknown);
    }

    /// Forgets the hosts for which `keep` returns false.
    fn retain(&self, keep: impl Fn(&str) -> bool) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|host, _| keep(host));
    }

    fn usable(&self, host: &str, addresses: &[IpAddr]) -> Vec<IpAddr> {
        let mut usable = Vec::new();
        for address in addresses.iter().map(IpAddr::to_canonical) {
            match usable::check(address, self.allow_loopback) {
                Verdict::Usable | Verdict::Private => usable.push(address),
                Verdict::Unusable(_) => {}
            }
        }
        usable.sort_unstable();
        usable.dedup();
        if usable.len() > ADDRESSES_PER_HOST {
            tracing::warn!(host, "host with too many addresses; using {ADDRESSES_PER_HOST}");
            usable.truncate(ADDRESSES_PER_HOST);
        }
        usable
    }

    /// Logs the addresses of a host that clients cannot use, and those that not all can use.
    fn warn(&self, host: &str, addresses: &[IpAddr]) {
        for address in addresses.iter().map(IpAddr::to_canonical) {
            match usable::check(address, self.allow_loopback) {
                Verdict::Usable => {}
                Verdict::Private => {
                    tracing::warn!(host, %address, "gateway host has a private address");
                }
                Verdict::Unusable(reason) => tracing::warn!(
                    host, %address,
                    "gateway host has {reason} address, which responses leave out"
                ),
            }
        }
    }
}
