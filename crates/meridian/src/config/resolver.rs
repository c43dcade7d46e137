//! Conversion of configuration texts into typed values, with errors that name the source.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use meridian_agent::driver::UnitLimits;
use meridian_domain::agent::{Address, is_host};

use super::key::{Kind, find};
use super::values::{Origin, Setting, Values};
use super::{ConfigError, Port, Start, parse};

/// Converts the texts of merged values.
pub(super) struct Resolver<'a>(pub(super) &'a Values);

impl Resolver<'_> {
    pub(super) fn required<T: FromStr<Err: ToString>>(
        &self,
        key: &'static str,
    ) -> Result<T, ConfigError> {
        self.required_by(key, str::parse)
    }

    pub(super) fn required_by<T, E: ToString>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<T, ConfigError> {
        self.optional_by(key, parse)?.ok_or(ConfigError::Missing { key })
    }

    pub(super) fn optional_by<T, E: ToString>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Option<T>, ConfigError> {
        Ok(self.list_by(key, parse)?.into_iter().next())
    }

    pub(super) fn list_by<T, E: ToString>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Vec<T>, ConfigError> {
        let Some(setting) = self.0.get(key) else {
            return Ok(Vec::new());
        };
        let parsed = |text: &String| {
            parse(text).map_err(|cause| invalid(key, setting, text, cause.to_string()))
        };
        setting.texts.iter().map(parsed).collect()
    }

    pub(super) fn limits(&self) -> Result<UnitLimits, ConfigError> {
        Ok(UnitLimits {
            // Depends on the limit of open files, see `daemon::descriptors`.
            units: 0,
            concurrent_requests: self.number("unit_concurrent_requests")?,
            requests_per_second: self.number("unit_requests_per_second")?,
            header_bytes: self.number("unit_header_bytes")?,
            body_bytes: self.number("unit_body_bytes")?,
            header_timeout_ms: self.number("unit_header_timeout_ms")?,
            access_log: self.required_by("access_log", parse::access_log)?,
        })
    }

    pub(super) fn number<T: TryFrom<u64>>(&self, key: &'static str) -> Result<T, ConfigError> {
        let minimum = match find(key).map(|key| key.kind) {
            Some(Kind::Number(minimum)) => minimum,
            Some(Kind::Text | Kind::Switch | Kind::List) | None => 0,
        };
        self.required_by(key, |text| match text.parse::<u64>() {
            Ok(number) if number >= minimum => {
                T::try_from(number).map_err(|_| "the number is too large".to_owned())
            }
            Ok(_) => Err(format!("the minimum is {minimum}")),
            Err(_) => Err(format!("use an integer of at least {minimum}")),
        })
    }

    pub(super) fn listen(
        &self,
        key: &'static str,
        insecure: bool,
    ) -> Result<SocketAddr, ConfigError> {
        let address: SocketAddr = self.required_by(key, parse::socket_address)?;
        self.check_exposure(key, address.ip(), insecure)?;
        Ok(address)
    }

    pub(super) fn port(
        &self,
        listen: &'static str,
        advertise: &'static str,
        insecure: bool,
    ) -> Result<Port, ConfigError> {
        let address = self.listen(listen, insecure)?;
        let advertise = match self.optional_by(advertise, Address::from_str)? {
            Some(address) => address,
            None => {
                self.check_dialable(listen, address.ip(), advertise)?;
                Address::new(address.to_string()).map_err(|cause| self.invalid(listen, &cause))?
            }
        };
        Ok(Port { listen: address, advertise })
    }

    pub(super) fn gateway_listen(&self, insecure: bool) -> Result<IpAddr, ConfigError> {
        let key = "gateway_listen";
        let address = self.required_by(key, |text| {
            text.parse::<IpAddr>().map_err(|_| "use an IP address without a port")
        })?;
        self.check_exposure(key, address, insecure)?;
        Ok(address)
    }

    pub(super) fn gateway_advertise(&self) -> Result<String, ConfigError> {
        let host = |text: &str| {
            let is_host = is_host(text).then(|| text.to_owned());
            is_host.ok_or("use a host name or an IP address, without a port")
        };
        if let Some(host) = self.optional_by("gateway_advertise", host)? {
            return Ok(host);
        }
        let listen = self.gateway_listen(true)?;
        self.check_dialable("gateway_listen", listen, "gateway_advertise")?;
        Ok(match listen {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        })
    }

    pub(super) fn start(&self) -> Result<Start, ConfigError> {
        let peers = self.list_by("bootstrap_peers", Address::from_str)?;
        let endpoints = self.list_by("join", |text| {
            Address::from_str(text.strip_prefix("http://").unwrap_or(text))
        })?;
        let enabled: bool = self.required("bootstrap")?;
        let (bootstrap, join) = (self.0.get("bootstrap"), self.0.get("join"));
        match (enabled, bootstrap, join.filter(|_| !endpoints.is_empty())) {
            (false, _, None) => Ok(Start::Wait(peers)),
            (true, _, None) => Ok(Start::Bootstrap(peers)),
            (true, Some(bootstrap), Some(join)) if bootstrap.origin.overrides(&join.origin) => {
                Ok(Start::Bootstrap(peers))
            }
            (true, Some(bootstrap), Some(join)) if !join.origin.overrides(&bootstrap.origin) => {
                let (bootstrap, join) = (bootstrap.origin.clone(), join.origin.clone());
                Err(ConfigError::BootstrapAndJoin { bootstrap, join })
            }
            (_, _, Some(_)) => Ok(Start::Join(endpoints)),
        }
    }

    fn check_exposure(
        &self,
        key: &'static str,
        address: IpAddr,
        insecure: bool,
    ) -> Result<(), ConfigError> {
        if insecure || address.is_loopback() {
            return Ok(());
        }
        let (origin, value) = self.source(key);
        Err(ConfigError::Exposed { origin, key, value })
    }

    fn check_dialable(
        &self,
        listen: &'static str,
        address: IpAddr,
        advertise: &'static str,
    ) -> Result<(), ConfigError> {
        if !address.is_unspecified() {
            return Ok(());
        }
        let (origin, value) = self.source(listen);
        Err(ConfigError::Undialable { origin, value, key: advertise })
    }

    pub(super) fn invalid(&self, key: &'static str, cause: &impl ToString) -> ConfigError {
        let (origin, value) = self.source(key);
        ConfigError::Invalid { origin, key, value, cause: cause.to_string() }
    }

    /// Returns the origin and the text of a key.
    fn source(&self, key: &str) -> (Origin, String) {
        let origin = self.0.get(key).map_or(Origin::Default, |setting| setting.origin.clone());
        (origin, self.0.text(key).unwrap_or_default().to_owned())
    }
}

fn invalid(key: &'static str, setting: &Setting, value: &str, cause: String) -> ConfigError {
    ConfigError::Invalid { origin: setting.origin.clone(), key, value: value.to_owned(), cause }
}
