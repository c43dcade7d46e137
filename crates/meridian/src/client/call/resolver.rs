//! Resolution of one name by name servers that are asked in order, as resolvers do: the next one is asked
//! if one does not respond in time. Addresses are kept for their time to live.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;

/// Time for a name server to respond.
const QUERY_TIMEOUT: Duration = Duration::from_millis(500);

/// Time for which a name server that did not respond is asked last.
const RETRY: Duration = Duration::from_secs(5);

/// Resolver of one name.
pub struct Resolver {
    /// One for each name server, without a cache, and the time until which it is asked last because it
    /// did not respond.
    servers: Vec<(TokioResolver, Option<Instant>)>,
    name: String,
    known: Option<Known>,
}

struct Known {
    addresses: Vec<IpAddr>,
    until: Instant,
}

impl Resolver {
    /// Resolves `name` by the name servers at these addresses.
    ///
    /// # Errors
    /// If the resolver cannot be built.
    pub fn new(servers: &[SocketAddr], name: &str) -> Result<Self, NetError> {
        let servers = servers.iter().map(|address| asking(*address).map(|server| (server, None)));
        // The final dot: no search list applies.
        Ok(Self {
            servers: servers.collect::<Result<_, _>>()?,
            name: format!("{name}."),
            known: None,
        })
    }

    /// Returns the addresses of the name.
    ///
    /// # Errors
    /// The error of the last name server.
    pub async fn addresses(&mut self) -> Result<Vec<IpAddr>, String> {
        if let Some(known) = &self.known
            && known.until > Instant::now()
        {
            return Ok(known.addresses.clone());
        }
        let mut last = "no name server is known".to_owned();
        let now = Instant::now();
        let mut order: Vec<_> = self.servers.iter_mut().collect();
        order.sort_by_key(|(_, last_until)| last_until.is_some_and(|until| until > now));
        for (server, last_until) in order {
            match server.lookup_ip(self.name.as_str()).await {
                Ok(found) => {
                    let (addresses, until) = (found.iter().collect(), found.valid_until());
                    let known = self.known.insert(Known { addresses, until });
                    return Ok(known.addresses.clone());
                }
                Err(error) => {
                    last = cause(&error);
                    *last_until = Some(Instant::now() + RETRY);
                }
            }
        }
        Err(format!("cannot resolve {}: {last}", self.name))
    }

    /// Forgets the addresses, so that the name servers are asked again.
    pub fn forget(&mut self) {
        self.known = None;
    }
}

/// Returns the cause without the query, which the library prints in its debug format.
fn cause(error: &NetError) -> String {
    if error.is_nx_domain() {
        "there is no such name".to_owned()
    } else if error.is_no_records_found() {
        "the name has no address".to_owned()
    } else {
        error.to_string()
    }
}

/// Builds a resolver that asks one name server.
fn asking(server: SocketAddr) -> Result<TokioResolver, NetError> {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    connections.iter_mut().for_each(|connection| connection.port = server.port());
    let server = NameServerConfig::new(server.ip(), true, connections);
    let config = ResolverConfig::from_name_servers(vec![server]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.use_hosts_file = ResolveHosts::Never;
    options.timeout = QUERY_TIMEOUT;
    options.attempts = 1;
    options.cache_size = 0;
    builder.build()
}
