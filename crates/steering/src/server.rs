//! The server: configuration, sockets, tasks.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::panic;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwapOption;
use meridian_domain::RegionName;
use meridian_ports::{History, LocalView, Located, NameServer, Read, SharedSettings};
use meridian_transport::listen::{self, ListenError};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio_util::sync::CancellationToken;

use crate::delegation;
use crate::follow::Follower;
use crate::hosts::Hosts;
use crate::hosts::lookup::{self, Lookup};
use crate::hosts::resolution::Resolution;
use crate::location::Locator;
use crate::location::database::{self, Watcher};
use crate::metrics::Metrics;
use crate::rate_limit::RateLimiter;
use crate::responder::Responder;
use crate::view::Current;
use crate::{tcp, udp};

/// Configuration of a name server. Settings that all name servers share are in the state.
#[derive(Clone)]
pub struct Config {
    /// Addresses to listen on, by UDP and TCP. An unspecified address stands for all addresses of the
    /// machine, and fails if another name server has one of them.
    pub listen: Vec<SocketAddr>,
    /// Region of the agent: that of clients whose location is not known.
    pub region: RegionName,
    /// File in the format of MaxMind with the coordinates of networks.
    pub location_database: Option<PathBuf>,
    /// Allow loopback addresses of gateways in responses: for a cluster on one machine. Default
    /// false.
    pub allow_loopback: bool,
    /// Maximum number of UDP responses per second to a network (a /24 in IPv4, a /56 in IPv6). Default
    /// 200, with which the resolver of a network can keep 1,000 names and types for 5 s each. 0 for no
    /// limit.
    pub responses_per_second: u32,
    /// Lookup of the host names of gateways. Default [`lookup::system`].
    pub lookup: Lookup,
}

impl Config {
    /// Returns the default configuration of an agent in a region.
    #[must_use]
    pub fn new(listen: Vec<SocketAddr>, region: RegionName) -> Self {
        Self {
            listen,
            region,
            location_database: None,
            allow_loopback: false,
            responses_per_second: 200,
            lookup: lookup::system(),
        }
    }
}

/// The server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A TCP port cannot be opened.
    #[error(transparent)]
    Tcp(#[from] ListenError),
    /// A UDP port cannot be opened.
    #[error("{KEY} {address}: cannot listen on UDP")]
    Udp {
        /// Address to listen on.
        address: SocketAddr,
        /// Error of the operating system.
        source: io::Error,
    },
    /// A thread cannot be started.
    #[error("cannot start a thread of the DNS server")]
    Thread {
        /// Error of the operating system.
        source: io::Error,
    },
}

/// Configuration key of the addresses.
const KEY: &str = "dns_listen";

/// A name server with open ports.
pub struct Server {
    tcp: Vec<TcpListener>,
    udp: Vec<UdpSocket>,
    responder: Arc<Responder>,
    follower: Follower,
    database: Option<Watcher>,
}

/// Interface of the server for other components. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    responder: Arc<Responder>,
    addresses: Arc<[SocketAddr]>,
}

impl Server {
    /// Opens the ports. Publishes the location database in use as [`SharedSetting::LocationDatabase`](meridian_ports::SharedSetting::LocationDatabase).
    ///
    /// # Errors
    /// If an address is in use, or does not belong to this machine.
    pub async fn bind(
        config: Config,
        read: Arc<dyn Read>,
        history: Arc<dyn History>,
        local_view: watch::Receiver<LocalView>,
        settings: watch::Sender<SharedSettings>,
    ) -> Result<Self, StartError> {
        let (mut tcp, mut udp) = (Vec::new(), Vec::new());
        for &address in &config.listen {
            let listener = listen::bind(KEY, address).await?;
            // The port may have been chosen by the system.
            let address = listener.local_addr().unwrap_or(address);
            let bound = udp::bind(address);
            udp.extend(bound.map_err(|source| StartError::Udp { address, source })?);
            tcp.push(listener);
        }
        let (responder, follower) = connect(&config, read, history, local_view);
        database::publish(&settings, None);
        let database = config.location_database.map(|path| Watcher::new(path, settings));
        Ok(Self { tcp, udp, responder: Arc::new(responder), follower, database })
    }

    /// Returns the addresses that the server listens on.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.tcp.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Returns a handle, which remains valid after shutdown.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { responder: Arc::clone(&self.responder), addresses: self.addresses().into() }
    }

    /// Serves until shutdown. Reads the location database first.
    ///
    /// # Errors
    /// If a thread cannot be started.
    ///
    /// # Panics
    /// If one of its tasks or threads panicked.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), StartError> {
        let mut tasks = JoinSet::new();
        if let Some(mut watcher) = self.database {
            let locator = Arc::clone(&self.responder.locator);
            tokio::select! {
                () = watcher.check(&locator) => {}
                () = shutdown.cancelled() => return Ok(()),
            }
            tasks.spawn(watcher.run(locator));
        }
        tasks.spawn(self.follower.run());
        // Also ends the threads if one of them cannot be started, or panics.
        let stop = shutdown.child_token();
        let _stop_all = stop.clone().drop_guard();
        let mut threads = Vec::new();
        for socket in self.udp {
            let thread = udp::serve(socket, Arc::clone(&self.responder), stop.clone());
            threads.push(thread.map_err(|source| StartError::Thread { source })?);
        }
        for listener in self.tcp {
            tasks.spawn(tcp::serve(listener, Arc::clone(&self.responder)));
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = tasks.join_next() => {
                    if let Err(error) = ended && error.is_panic() {
                        panic::resume_unwind(error.into_panic());
                    }
                }
            }
        }
        // They end within the interval at which they check for it.
        let join = move || threads.into_iter().try_for_each(|thread| thread.join());
        if let Ok(Err(panicked)) = spawn_blocking(join).await {
            panic::resume_unwind(panicked);
        }
        Ok(())
    }
}

/// Connects the parts of a server that need no sockets. The responses are those for the current state,
/// until the follower runs. Needs a Tokio runtime if a gateway has a host name.
pub(crate) fn connect(
    config: &Config,
    read: Arc<dyn Read>,
    history: Arc<dyn History>,
    local_view: watch::Receiver<LocalView>,
) -> (Responder, Follower) {
    let current = Arc::new(Current::default());
    let hosts = Arc::new(Hosts::new(config.allow_loopback));
    let locator = Arc::new(Locator {
        current: Arc::clone(&current),
        read: Arc::clone(&read),
        own_region: config.region.clone(),
        database: ArcSwapOption::empty(),
    });
    let resolution = Resolution::new(Arc::clone(&hosts), Arc::clone(&config.lookup));
    let cursor = read.state().header.revision;
    let mut follower = Follower {
        read: Arc::clone(&read),
        history,
        local_view,
        current: Arc::clone(&current),
        resolution,
        cursor,
    };
    follower.replace_view();
    current.set_revision(cursor);
    let responder = Responder {
        current,
        read,
        hosts,
        locator,
        limiter: RateLimiter::new(config.responses_per_second),
        metrics: Metrics::new(),
        started: Instant::now(),
    };
    (responder, follower)
}

impl NameServer for Handle {
    fn locate(&self, address: IpAddr) -> Located {
        self.responder.locator.locate(address)
    }

    fn region(&self) -> &RegionName {
        &self.responder.locator.own_region
    }

    fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    fn delegation(&self) -> Vec<String> {
        let state = self.responder.read.state();
        let addresses = |host: &str| self.responder.hosts.get(host).addresses.clone();
        let zone = state.header.dns.zone.as_ref();
        zone.map_or_else(Vec::new, |zone| delegation::records(&state, zone, addresses))
    }
}
