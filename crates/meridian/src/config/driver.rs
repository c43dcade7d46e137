//! Configuration of the unit driver.

#[cfg(feature = "docker")]
use std::{num::NonZeroU64, path::PathBuf};

use std::time::Duration;

#[cfg(feature = "docker")]
use meridian_agent::driver::docker::{ImageName, NetworkName};
use meridian_agent::driver::{BuiltinConfig, CommandTemplates, KILL_TIMEOUT};

use super::ConfigError;
use super::resolver::Resolver;

#[cfg(not(feature = "docker"))]
const NOT_BUILT_IN: &str = "this binary was built without the driver: build it with `cargo build \
                            --release --features docker`";

/// Driver of the units of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnitDriver {
    /// The built-in gateway.
    Builtin,
    /// Programs from these templates.
    Command(CommandTemplates),
    /// Containers.
    #[cfg(feature = "docker")]
    Docker(Containers),
}

/// Configuration of the Docker driver.
#[cfg(feature = "docker")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Containers {
    /// Socket of the engine. Default: `/var/run/docker.sock`.
    pub socket: PathBuf,
    /// Image of the containers.
    pub image: ImageName,
    /// Network from which units connect to backends. Default: `host`.
    pub network: NetworkName,
    /// Memory limit of a container, in bytes. Default: no limit.
    pub memory: Option<NonZeroU64>,
}

impl UnitDriver {
    /// Returns the maximum time for all units to stop: the drain timeout, and the time to kill those
    /// that exceed it.
    #[must_use]
    pub fn stop_timeout(&self) -> Duration {
        let drain_timeout = match self {
            Self::Builtin => BuiltinConfig::DRAIN_TIMEOUT,
            Self::Command(templates) => templates.drain_timeout(),
            #[cfg(feature = "docker")]
            Self::Docker(_) => BuiltinConfig::DRAIN_TIMEOUT,
        };
        drain_timeout + KILL_TIMEOUT
    }
}

impl Resolver<'_> {
    pub(super) fn driver(&self) -> Result<UnitDriver, ConfigError> {
        let driver: String = self.required("driver")?;
        match driver.as_str() {
            "builtin" => Ok(UnitDriver::Builtin),
            "command" => self.required_by("driver_template", templates).map(UnitDriver::Command),
            #[cfg(feature = "docker")]
            "docker" => self.docker(),
            #[cfg(not(feature = "docker"))]
            "docker" => Err(self.invalid("driver", &NOT_BUILT_IN)),
            _ => Err(self.invalid("driver", &"use builtin, command or docker")),
        }
    }

    #[cfg(feature = "docker")]
    fn docker(&self) -> Result<UnitDriver, ConfigError> {
        /// Minimum that a Docker engine accepts.
        const MINIMUM_MEMORY: u64 = 6 << 20;
        let memory = self.required_by("docker_memory_bytes", |text| match text.parse() {
            Ok(bytes @ (0 | MINIMUM_MEMORY..)) => Ok(NonZeroU64::new(bytes)),
            Ok(_) => Err(format!("use 0 or at least {MINIMUM_MEMORY}")),
            Err(_) => Err("use an integer of at least 0".to_owned()),
        })?;
        Ok(UnitDriver::Docker(Containers {
            socket: self.required("docker_socket")?,
            image: self.required("docker_image")?,
            network: self.required("docker_network")?,
            memory,
        }))
    }
}

fn templates(path: &str) -> Result<CommandTemplates, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    toml::from_str(&text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
        format!("line {line}: {}", error.message().trim().replace('\n', ", "))
    })
}
