//! Lookup of a host name, with the time to live of its addresses.

use std::net::IpAddr;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hickory_resolver::Resolver;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::net::NetError;

/// Addresses of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Addresses of both families.
    pub addresses: Vec<IpAddr>,
    /// Time to live in seconds, the shortest of all.
    pub ttl: u32,
}

/// A name cannot be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct LookupError {
    /// The cause.
    pub cause: String,
}

/// Function that looks up a name.
pub type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, Found> + Send + Sync>;

/// Result of a lookup.
pub type Found = Result<Resolved, LookupError>;

/// Returns the lookup by the name servers in `/etc/resolv.conf`, after `/etc/hosts`. Both are read
/// at each lookup, so that their changes need no restart. The system's own resolver, which
/// connections use, does not tell the time to live.
#[must_use]
pub fn system() -> Lookup {
    Arc::new(|name| {
        async move {
            let failed = |error: NetError| LookupError { cause: error.to_string() };
            resolve(name).await.map_err(failed)
        }
        .boxed()
    })
}

async fn resolve(name: String) -> Result<Resolved, NetError> {
    let mut builder = Resolver::builder_tokio()?;
    builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    let found = builder.build()?.lookup_ip(name).await?;
    let ttl = found.as_lookup().answers().iter().map(|record| record.ttl).min();
    Ok(Resolved { addresses: found.iter().collect(), ttl: ttl.unwrap_or(0) })
}
