//! Which driver runs the units, and what it has to know.

#[cfg(feature = "docker")]
use std::{num::NonZeroU64, path::PathBuf};

use meridian_agent::driver::CommandTemplates;
#[cfg(feature = "docker")]
use meridian_agent::driver::docker::{ImageName, NetworkName};

use super::{ConfigError, Resolver};

#[cfg(not(feature = "docker"))]
const LEFT_OUT: &str = "this program was built without it: build it with `cargo build --release \
                        --features docker`";

/// What runs the units of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnitDriver {
    /// This program itself.
    Builtin,
    /// The programs of these templates.
    Command(CommandTemplates),
    /// Containers.
    #[cfg(feature = "docker")]
    Docker(Containers),
}

/// What containers of units are made of.
#[cfg(feature = "docker")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Containers {
    /// The engine. Default: `/var/run/docker.sock`.
    pub socket: PathBuf,
    /// What they are of.
    pub image: ImageName,
    /// From where they call backends. Default: `host`.
    pub network: NetworkName,
    /// Bytes that one may have. Default: no limit.
    pub memory: Option<NonZeroU64>,
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
            "docker" => Err(self.wrong("driver", &LEFT_OUT)),
            _ => Err(self.wrong("driver", &"write builtin, command or docker")),
        }
    }

    #[cfg(feature = "docker")]
    fn docker(&self) -> Result<UnitDriver, ConfigError> {
        /// What an engine takes at least.
        const LEAST_MEMORY: u64 = 6 << 20;
        let memory = self.required_by("docker_memory_bytes", |text| match text.parse() {
            Ok(bytes @ (0 | LEAST_MEMORY..)) => Ok(NonZeroU64::new(bytes)),
            Ok(_) => Err(format!("it is 0 or at least {LEAST_MEMORY}")),
            Err(_) => Err("it is a whole number from 0".to_owned()),
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
