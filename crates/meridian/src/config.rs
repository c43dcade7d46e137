//! The configuration of an agent: where values come from, what they mean, and what is refused.
//!
//! ```text
//! flag  >  environment (MERIDIAN_...)  >  file (--config)  >  default
//! ```
//!
//! [`key::KEYS`] is the one table of keys; flags, variables, file and example follow from it.
//! Whatever is wrong ends the process before it has touched anything, with exit code 2.

mod driver;
pub mod error;
pub mod file;
pub mod flags;
pub mod key;
pub mod render;
#[cfg(test)]
mod tests;
pub mod values;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use meridian_agent::driver::{AccessLog, UnitLimits};
use meridian_domain::agent::{Address, is_host};
use meridian_domain::id::Zone;
use meridian_domain::{AgentName, RegionName};
use meridian_replication::timing::Profile;

use crate::telemetry::logs::{self, LogFormat};
#[cfg(feature = "docker")]
pub use driver::Containers;
pub use driver::UnitDriver;
pub use error::ConfigError;
use key::{Kind, find};
use values::{Given, Values};

/// The configuration of an agent, checked. The defaults are those of [`key::KEYS`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentConfig {
    /// Its name, unique in its cluster.
    pub name: AgentName,
    /// Where it runs.
    pub region: RegionName,
    /// The zone that it runs in, 1 to 9. Default: none.
    pub zone: Option<Zone>,
    /// Whether it only votes. Default: no.
    pub witness: bool,
    /// What holds its log and state. Default: `meridian-data`.
    pub data_dir: PathBuf,
    /// What lies between the agents. Default: `wan`.
    pub network: Profile,
    /// Serves clients. Default: 127.0.0.1:7400.
    pub client: Port,
    /// Serves other agents. Default: 127.0.0.1:7401.
    pub peer: Port,
    /// Serves health and metrics. Default: 127.0.0.1:7480.
    pub http: SocketAddr,
    /// Where gateways listen. Default: 127.0.0.1.
    pub gateway_listen: IpAddr,
    /// Under which host callers reach them. Default: `gateway_listen`.
    pub gateway_advertise: String,
    /// Whether units end with the agent when it is told to stop. Default: no.
    pub drain_on_stop: bool,
    /// What runs the units. Default: this program itself.
    pub driver: UnitDriver,
    /// What each unit takes on. Default: [`UnitLimits::default`].
    pub limits: UnitLimits,
    /// How it comes to belong to a cluster, if it does not yet.
    pub start: Start,
    /// Log entries between two snapshots, at least 1. Default: 20,000.
    pub snapshot_after_entries: u64,
    /// Log entries kept behind a snapshot. Default: 5,000.
    pub keep_entries: u64,
    /// Bytes that must stay free on the disk; 0 for no floor. Default: 256 MiB.
    pub disk_floor_bytes: u64,
    /// How the log is written. Default: by whether standard error is a terminal.
    pub log_format: LogFormat,
    /// What is logged, as [`logs::filter`] understands it. Default: `info`.
    pub log_level: String,
}

/// An address to listen on, and how others dial it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Where the agent listens.
    pub listen: SocketAddr,
    /// Where others reach that.
    pub advertise: Address,
}

/// How an agent comes to belong to a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// It founds one, with the agents at these peer addresses, itself among them.
    Found(Vec<Address>),
    /// It asks agents at these client addresses.
    Join(Vec<Address>),
    /// It waits: for one of these founders to found, or, where there are none, for an invitation.
    Wait(Vec<Address>),
}

/// Puts the layers on top of each other: what was given by flag and in the environment, the file if
/// there is one, the defaults.
///
/// # Errors
/// If the file cannot be understood.
pub fn layers(given: Values, file: Option<&Path>) -> Result<Values, ConfigError> {
    let from_file = file.map(file::read).transpose()?.unwrap_or_default();
    Ok(given.over(from_file).over(Values::defaults()))
}

impl AgentConfig {
    /// Checks what was given.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn resolve(values: &Values) -> Result<Self, ConfigError> {
        let resolver = Resolver(values);
        let insecure = resolver.required("insecure")?;
        let http = resolver.listen("http_listen", insecure)?;
        let config = Self {
            name: resolver.required("name")?,
            region: resolver.required_by("region", RegionName::parse)?,
            zone: resolver.optional_by("zone", zone)?,
            witness: resolver.required("witness")?,
            data_dir: resolver.required_by("data_dir", directory)?,
            network: resolver.required_by("network", profile)?,
            client: resolver.port("client_listen", "client_advertise", insecure)?,
            peer: resolver.port("peer_listen", "peer_advertise", insecure)?,
            http,
            gateway_listen: resolver.gateway_listen(insecure)?,
            gateway_advertise: resolver.gateway_advertise()?,
            drain_on_stop: resolver.required("drain_on_stop")?,
            driver: resolver.driver()?,
            limits: resolver.limits()?,
            start: resolver.start()?,
            snapshot_after_entries: resolver.number("snapshot_after_entries")?,
            keep_entries: resolver.number("keep_entries")?,
            disk_floor_bytes: resolver.number("disk_floor_bytes")?,
            log_format: resolver.required_by("log_format", log_format)?,
            log_level: resolver.required_by("log_level", log_level)?,
        };
        config.check_ports()?;
        Ok(config)
    }

    fn check_ports(&self) -> Result<(), ConfigError> {
        let ports = [
            ("client_listen", self.client.listen),
            ("peer_listen", self.peer.listen),
            ("http_listen", self.http),
        ];
        for (index, (first, address)) in ports.iter().enumerate() {
            if let Some((second, _)) = ports[index + 1..].iter().find(|(_, it)| it == address) {
                return Err(ConfigError::SameAddress { first, second, value: address.to_string() });
            }
        }
        Ok(())
    }
}

/// Turns texts into values, and names the place where one makes no sense.
struct Resolver<'a>(&'a Values);

impl Resolver<'_> {
    fn required<T: FromStr<Err: ToString>>(&self, key: &'static str) -> Result<T, ConfigError> {
        self.required_by(key, str::parse)
    }

    fn required_by<T, E: ToString>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<T, ConfigError> {
        self.optional_by(key, parse)?.ok_or(ConfigError::Missing { key })
    }

    fn optional_by<T, E: ToString>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<T>, ConfigError> {
        Ok(self.list_by(key, parse)?.into_iter().next())
    }

    fn list_by<T, E: ToString>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Vec<T>, ConfigError> {
        let Some(given) = self.0.get(key) else {
            return Ok(Vec::new());
        };
        let parsed = |text: &String| {
            parse(text).map_err(|cause| invalid(key, given, text, cause.to_string()))
        };
        given.texts.iter().map(parsed).collect()
    }

    fn limits(&self) -> Result<UnitLimits, ConfigError> {
        Ok(UnitLimits {
            concurrent_requests: self.number("unit_concurrent_requests")?,
            requests_per_second: self.number("unit_requests_per_second")?,
            header_bytes: self.number("unit_header_bytes")?,
            body_bytes: self.number("unit_body_bytes")?,
            header_timeout_ms: self.number("unit_header_timeout_ms")?,
            access_log: self.required_by("access_log", access_log)?,
        })
    }

    fn number<T: TryFrom<u64>>(&self, key: &'static str) -> Result<T, ConfigError> {
        let least = match find(key).map(|key| key.kind) {
            Some(Kind::Number(least)) => least,
            Some(Kind::Text | Kind::Switch | Kind::List) | None => 0,
        };
        self.required_by(key, |text| match text.parse::<u64>() {
            Ok(number) if number >= least => {
                T::try_from(number).map_err(|_| "it is too large".to_owned())
            }
            Ok(_) => Err(format!("it is at least {least}")),
            Err(_) => Err(format!("it is a whole number from {least}")),
        })
    }

    fn listen(&self, key: &'static str, insecure: bool) -> Result<SocketAddr, ConfigError> {
        let address: SocketAddr = self.required_by(key, |text| {
            let address = text.parse().ok().filter(|address: &SocketAddr| address.port() > 0);
            address.ok_or("write IP:PORT, such as 127.0.0.1:7400 or [::1]:7400")
        })?;
        self.refuse_exposure(key, address.ip(), insecure)?;
        Ok(address)
    }

    fn port(
        &self,
        listen: &'static str,
        advertise: &'static str,
        insecure: bool,
    ) -> Result<Port, ConfigError> {
        let address = self.listen(listen, insecure)?;
        let advertised = match self.optional_by(advertise, Address::from_str)? {
            Some(advertised) => advertised,
            None => {
                self.refuse_undialable(listen, address.ip(), advertise)?;
                Address::new(address.to_string()).map_err(|cause| self.wrong(listen, &cause))?
            }
        };
        Ok(Port { listen: address, advertise: advertised })
    }

    fn gateway_listen(&self, insecure: bool) -> Result<IpAddr, ConfigError> {
        let key = "gateway_listen";
        let address = self.required_by(key, |text| {
            text.parse::<IpAddr>().map_err(|_| "write an IP address without a port")
        })?;
        self.refuse_exposure(key, address, insecure)?;
        Ok(address)
    }

    fn gateway_advertise(&self) -> Result<String, ConfigError> {
        let host = |text: &str| {
            let is_host = is_host(text).then(|| text.to_owned());
            is_host.ok_or("write a host name or an IP address, without a port")
        };
        if let Some(given) = self.optional_by("gateway_advertise", host)? {
            return Ok(given);
        }
        let listen = self.gateway_listen(true)?;
        self.refuse_undialable("gateway_listen", listen, "gateway_advertise")?;
        Ok(match listen {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        })
    }

    fn start(&self) -> Result<Start, ConfigError> {
        let founders = self.list_by("founders", Address::from_str)?;
        let endpoints = self.list_by("join", |text| {
            Address::from_str(text.strip_prefix("http://").unwrap_or(text))
        })?;
        let init: bool = self.required("init")?;
        let (by_init, by_join) = (self.0.get("init"), self.0.get("join"));
        match (init, by_init, by_join.filter(|_| !endpoints.is_empty())) {
            (false, _, None) => Ok(Start::Wait(founders)),
            (true, _, None) => Ok(Start::Found(founders)),
            (true, Some(init), Some(join)) if init.origin.beats(&join.origin) => {
                Ok(Start::Found(founders))
            }
            (true, Some(init), Some(join)) if !join.origin.beats(&init.origin) => {
                let (init, join) = (init.origin.clone(), join.origin.clone());
                Err(ConfigError::InitAndJoin { init, join })
            }
            (_, _, Some(_)) => Ok(Start::Join(endpoints)),
        }
    }

    fn refuse_exposure(
        &self,
        key: &'static str,
        address: IpAddr,
        insecure: bool,
    ) -> Result<(), ConfigError> {
        if insecure || address.is_loopback() {
            return Ok(());
        }
        let (origin, value) = self.written(key);
        Err(ConfigError::Exposed { origin, key, value })
    }

    fn refuse_undialable(
        &self,
        listen: &'static str,
        address: IpAddr,
        advertise: &'static str,
    ) -> Result<(), ConfigError> {
        if !address.is_unspecified() {
            return Ok(());
        }
        let (origin, value) = self.written(listen);
        Err(ConfigError::Undialable { origin, value, key: advertise })
    }

    fn wrong(&self, key: &'static str, cause: &impl ToString) -> ConfigError {
        let (origin, value) = self.written(key);
        ConfigError::Invalid { origin, key, value, cause: cause.to_string() }
    }

    fn written(&self, key: &str) -> (values::Origin, String) {
        let origin = self.0.get(key).map_or(values::Origin::Default, |given| given.origin.clone());
        (origin, self.0.text(key).unwrap_or_default().to_owned())
    }
}

fn invalid(key: &'static str, given: &Given, value: &str, cause: String) -> ConfigError {
    ConfigError::Invalid { origin: given.origin.clone(), key, value: value.to_owned(), cause }
}

fn zone(text: &str) -> Result<Zone, String> {
    let number: u8 = text.parse().map_err(|_| "a zone is a number from 1 to 9".to_owned())?;
    Zone::try_from(number).map_err(|error| error.to_string())
}

fn directory(text: &str) -> Result<PathBuf, &'static str> {
    if text.is_empty() { Err("it must not be empty") } else { Ok(PathBuf::from(text)) }
}

fn profile(text: &str) -> Result<Profile, &'static str> {
    match text {
        "lan" => Ok(Profile::Lan),
        "wan" => Ok(Profile::Wan),
        _ => Err("write lan or wan"),
    }
}

fn access_log(text: &str) -> Result<AccessLog, &'static str> {
    match text {
        "off" => Ok(AccessLog::Off),
        "path" => Ok(AccessLog::Path),
        "query" => Ok(AccessLog::Query),
        _ => Err("write off, path or query"),
    }
}

fn log_format(text: &str) -> Result<LogFormat, &'static str> {
    match text {
        "auto" => Ok(LogFormat::Auto),
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("write auto, text or json"),
    }
}

fn log_level(text: &str) -> Result<String, String> {
    logs::filter(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}
