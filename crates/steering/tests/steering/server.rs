//! A server on loopback ports.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use meridian_steering::Config;
use meridian_steering::hosts::lookup::{Lookup, LookupError, Resolved};
use meridian_steering::server::Handle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::client::Ask;
use crate::cluster::{Cluster, region};

/// Names that the server's own lookups find.
#[derive(Clone, Default)]
pub struct Names(Arc<Mutex<BTreeMap<String, Resolved>>>);

impl Names {
    pub fn set(&self, name: &str, ttl: u32, addresses: &[&str]) {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        self.0.lock().unwrap().insert(name.to_owned(), Resolved { addresses, ttl });
    }

    pub fn remove(&self, name: &str) {
        self.0.lock().unwrap().remove(name);
    }

    fn lookup(&self) -> Lookup {
        let names = self.clone();
        Arc::new(move |name| {
            let found = names.0.lock().unwrap().get(&name).cloned();
            let cause = "no such name".to_owned();
            async move { found.ok_or(LookupError { cause }) }.boxed()
        })
    }
}

pub struct TestServer {
    pub cluster: Arc<Cluster>,
    pub address: SocketAddr,
    pub names: Names,
    pub handle: Handle,
    _stop: DropGuard,
}

impl TestServer {
    /// Starts a server in westeurope.
    pub async fn start(cluster: Arc<Cluster>) -> Self {
        Self::start_with(cluster, |_| ()).await
    }

    pub async fn start_with(cluster: Arc<Cluster>, change: impl Fn(&mut Config)) -> Self {
        let names = Names::default();
        names.set("gw-us.example.org", 3, &["198.51.100.7", "2001:db8::7"]);
        let mut config = Config::new(vec!["127.0.0.1:0".parse().unwrap()], region("westeurope"));
        config.lookup = names.lookup();
        config.responses_per_second = 0;
        change(&mut config);
        // The port that the system chose for TCP may be in use for UDP.
        let bind = async || cluster.bind(config.clone()).await;
        let mut server = bind().await;
        for _ in 0..5 {
            if server.is_err() {
                server = bind().await;
            }
        }
        let server = server.expect("there is a free port");
        let (address, handle) = (server.addresses()[0], server.handle());
        let stop = CancellationToken::new();
        let shutdown = stop.clone();
        tokio::spawn(async move { server.run(shutdown).await.expect("it starts") });
        let server = Self { cluster, address, names, handle, _stop: stop.drop_guard() };
        // The names are looked up in the background.
        server.settle().await;
        server
    }

    /// Waits until the host name of the agent in eastus is resolved, if there is one.
    async fn settle(&self) {
        let host = self.cluster.host_of("us-1");
        if host.as_deref() == Some("gw-us.example.org") && self.cluster.has_zone() {
            let ask = Ask::new("us-1.ns", "A");
            eventually(async || !ask.udp(self).await.answers().is_empty()).await;
        }
    }
}

/// Waits for a condition.
pub async fn eventually(condition: impl AsyncFn() -> bool) {
    let started = std::time::Instant::now();
    while !condition().await {
        assert!(started.elapsed() < Duration::from_secs(10), "the condition was not met");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
