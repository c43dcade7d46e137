//! Configuration of an agent: sources, precedence, validation.
//!
//! ```text
//! flag  >  environment (MERIDIAN_...)  >  file (--config)  >  default
//! ```
//!
//! [`key::KEYS`] is the one table of keys; flags, variables, the file and the example follow from it.
//! An invalid configuration ends the process before it has changed anything, with exit code 2.

mod driver;
pub mod error;
pub mod file;
pub mod flags;
pub mod key;
mod parse;
pub mod region;
pub mod render;
mod resolver;
#[cfg(test)]
mod tests;
mod user;
pub mod values;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use meridian_agent::driver::{UnitLimits, UnitUser};
use meridian_domain::agent::Address;
use meridian_domain::id::Zone;
use meridian_domain::{AgentName, RegionName};
use meridian_replication::timing::Profile;

use crate::telemetry::logs::LogFormat;
#[cfg(feature = "docker")]
pub use driver::Containers;
pub use driver::UnitDriver;
pub use error::ConfigError;
use region::RegionError;
use resolver::Resolver;
use values::Values;

/// Time for an agent to shut down once its units have stopped, or if they keep running.
const SHUTDOWN_RESERVE: Duration = Duration::from_secs(5);

/// Validated configuration of an agent. [`key::KEYS`] has the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentConfig {
    /// Name, unique in the cluster.
    pub name: AgentName,
    /// Region: from the catalog or, unless the agent bootstraps a cluster, defined in the cluster.
    pub region: RegionName,
    /// Availability zone, 1 to 9. Default: none.
    pub zone: Option<Zone>,
    /// True for an agent that votes and never runs units. Default: false.
    pub witness: bool,
    /// Directory of the log and the state. Default: `meridian-data`.
    pub data_dir: PathBuf,
    /// Network profile between agents. Default: `wan`.
    pub network: Profile,
    /// Port for clients. Default: 127.0.0.1:7400.
    pub client: Port,
    /// Port for other agents. Default: 127.0.0.1:7401.
    pub peer: Port,
    /// Address of the portal, health and metrics. Default: 127.0.0.1:7480.
    pub http: SocketAddr,
    /// Host names under which the portal is served, besides IP addresses and `localhost`. Default: none.
    pub http_hosts: Vec<String>,
    /// IP address that gateways listen on. Default: 127.0.0.1.
    pub gateway_listen: IpAddr,
    /// Host under which clients reach the gateways. Default: `gateway_listen`.
    pub gateway_advertise: String,
    /// Addresses of the name server. Default: none.
    pub dns_listen: Vec<SocketAddr>,
    /// Location database of the name server. Default: none.
    pub location_database: Option<PathBuf>,
    /// True if the units are drained when the agent shuts down. Default: false.
    pub drain_on_stop: bool,
    /// Driver of the units. Default: the built-in gateway.
    pub driver: UnitDriver,
    /// User of the units, if it is another one than that of the agent. Default: none.
    pub unit_user: Option<UnitUser>,
    /// Limits of each unit. Default: [`UnitLimits::default`].
    pub limits: UnitLimits,
    /// Method by which an agent with a new data directory becomes a member of a cluster.
    pub start: Start,
    /// Number of log entries between two snapshots, at least 1. Default: 20,000.
    pub snapshot_after_entries: u64,
    /// Number of log entries already in a snapshot that are kept. Default: 5,000.
    pub keep_entries: u64,
    /// Minimum free space on the disk, in bytes; 0 for no minimum. Default: 256 MiB.
    pub disk_floor_bytes: u64,
    /// Log format. Default: text if standard error is a terminal, JSON otherwise.
    pub log_format: LogFormat,
    /// Log level with overrides, in the syntax of [`logs::filter`]. Default: `info`.
    ///
    /// [`logs::filter`]: crate::telemetry::logs::filter
    pub log_level: String,
}

/// A listening address and the address under which others reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Listening address.
    pub listen: SocketAddr,
    /// Address that others dial.
    pub advertise: Address,
}

/// Method by which an agent becomes a member of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// Bootstraps a cluster with the agents at these peer addresses, which include its own.
    Bootstrap(Vec<Address>),
    /// Joins the cluster of the agents at these client addresses.
    Join(Vec<Address>),
    /// Waits to be admitted: by the bootstrap agent among these peers or, if there are none, by an
    /// invitation.
    Wait(Vec<Address>),
}

/// Merges all sources by precedence: `given` (flags and environment), the file if there is one, the
/// defaults.
///
/// # Errors
/// If the file cannot be read or parsed.
pub fn layers(given: Values, file: Option<&Path>) -> Result<Values, ConfigError> {
    let from_file = file.map(file::read).transpose()?.unwrap_or_default();
    Ok(given.over(from_file).over(Values::defaults()))
}

impl AgentConfig {
    /// Validates merged values.
    ///
    /// # Errors
    /// The first broken rule.
    pub fn resolve(values: &Values) -> Result<Self, ConfigError> {
        let resolver = Resolver(values);
        let insecure = resolver.required("insecure")?;
        let http = resolver.listen("http_listen", insecure)?;
        let config = Self {
            name: resolver.required("name")?,
            region: resolver.required_by("region", RegionName::parse)?,
            zone: resolver.optional_by("zone", parse::zone)?,
            witness: resolver.required("witness")?,
            data_dir: resolver.required_by("data_dir", parse::path)?,
            network: resolver.required_by("network", parse::profile)?,
            client: resolver.port("client_listen", "client_advertise", insecure)?,
            peer: resolver.port("peer_listen", "peer_advertise", insecure)?,
            http,
            http_hosts: resolver.list_by("http_hosts", parse::host_name)?,
            gateway_listen: resolver.gateway_listen(insecure)?,
            gateway_advertise: resolver.gateway_advertise()?,
            dns_listen: resolver.list_by("dns_listen", parse::socket_address)?,
            location_database: resolver.optional_by("location_database", parse::path)?,
            drain_on_stop: resolver.required("drain_on_stop")?,
            driver: resolver.driver()?,
            unit_user: resolver.unit_user()?,
            limits: resolver.limits()?,
            start: resolver.start()?,
            snapshot_after_entries: resolver.number("snapshot_after_entries")?,
            keep_entries: resolver.number("keep_entries")?,
            disk_floor_bytes: resolver.number("disk_floor_bytes")?,
            log_format: resolver.required_by("log_format", parse::log_format)?,
            log_level: resolver.required_by("log_level", parse::log_level)?,
        };
        config.check_ports()?;
        config.check_region().map_err(|cause| resolver.invalid("region", &cause))?;
        Ok(config)
    }

    /// Returns the maximum time for the agent to shut down, which includes the stop of its units.
    #[must_use]
    pub fn shutdown_timeout(&self) -> Duration {
        self.driver.stop_timeout() + SHUTDOWN_RESERVE
    }

    /// Returns the configuration of the name server. Gateways on loopback are only of use to clients
    /// that ask a name server on loopback.
    #[must_use]
    pub fn name_server(&self) -> meridian_steering::Config {
        let config = meridian_steering::Config::new(self.dns_listen.clone(), self.region.clone());
        meridian_steering::Config {
            location_database: self.location_database.clone(),
            allow_loopback: self.dns_listen.iter().all(|address| address.ip().is_loopback()),
            ..config
        }
    }

    /// A cluster has no regions besides those of the catalog when it is bootstrapped. An existing one
    /// decides which regions it accepts.
    fn check_region(&self) -> Result<(), RegionError> {
        match &self.start {
            Start::Join(_) => Ok(()),
            Start::Wait(peers) if peers.is_empty() => Ok(()),
            Start::Wait(_) | Start::Bootstrap(_) => region::check(&self.region),
        }
    }

    fn check_ports(&self) -> Result<(), ConfigError> {
        let ports = [
            ("client_listen", self.client.listen),
            ("peer_listen", self.peer.listen),
            ("http_listen", self.http),
        ];
        let dns = self.dns_listen.iter().map(|address| ("dns_listen", *address));
        let ports: Vec<_> = ports.into_iter().chain(dns).collect();
        for (index, (first, address)) in ports.iter().enumerate() {
            if let Some((second, _)) = ports[index + 1..].iter().find(|(_, it)| it == address) {
                return Err(ConfigError::SameAddress { first, second, value: address.to_string() });
            }
        }
        Ok(())
    }
}
