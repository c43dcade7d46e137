//! Start configuration of a unit.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use meridian_domain::{
    AgentName, ClusterId, Generation, Incarnation, RegionName, ServiceName, UnitId,
};

/// Start configuration of a unit. The fields up to `build` are its identity.
#[derive(Debug, Clone)]
pub struct UnitConfig {
    /// Cluster of the unit.
    pub cluster: ClusterId,
    /// Agent that starts the unit.
    pub agent: AgentName,
    /// Service, region and slot of the unit.
    pub unit: UnitId,
    /// Incarnation of the assignment.
    pub incarnation: Incarnation,
    /// Version of the build. Default: this crate's version.
    pub build: String,
    /// Generation of the agent that starts the unit. Requests of older generations are refused.
    pub generation: Generation,
    /// Run directory. Default: the working directory, because the path of a control socket is
    /// limited to 108 bytes (unix(7)) and a data directory may be deeper than that.
    pub directory: PathBuf,
    /// Source of the listening socket. Default: inherited.
    pub listener: ListenerSource,
    /// Number of worker threads. Default: one per core that this process may use.
    pub workers: NonZeroUsize,
    /// Timeouts of the drain.
    pub drain_timeouts: DrainTimeouts,
}

/// Source of a unit's listening socket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ListenerSource {
    /// Standard input of the unit.
    #[default]
    Inherited,
    /// A Unix socket that the unit opens at this path, relative to the run directory, and over
    /// which the agent sends the listening socket.
    Received(PathBuf),
}

/// Timeouts of the two phases of a drain.
#[derive(Debug, Clone, Copy)]
pub struct DrainTimeouts {
    /// Time for clients to close their connections by themselves. Default: 3 s.
    pub graceful: Duration,
    /// Time after that for requests in flight to finish; the rest are aborted. Default: 7 s.
    pub finish: Duration,
}

impl Default for DrainTimeouts {
    fn default() -> Self {
        Self { graceful: Duration::from_secs(3), finish: Duration::from_secs(7) }
    }
}

/// Error in the command-line arguments of a unit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    /// An argument has no value.
    #[error("argument {name} requires a value")]
    MissingValue {
        /// The argument.
        name: String,
    },
    /// A value is invalid.
    #[error("invalid value {value:?} for argument {name}: {cause}")]
    InvalidValue {
        /// The argument.
        name: &'static str,
        /// The value.
        value: String,
        /// The rule that the value breaks.
        cause: String,
    },
    /// The argument does not exist.
    #[error("unknown argument {name}")]
    Unknown {
        /// The argument.
        name: String,
    },
    /// A required argument is missing.
    #[error("missing argument {name}")]
    Missing {
        /// The argument.
        name: &'static str,
    },
}

const ARGUMENTS: [&str; 8] = [
    "--cluster",
    "--agent",
    "--service",
    "--region",
    "--slot",
    "--incarnation",
    "--generation",
    "--receive-listener",
];

impl UnitConfig {
    /// Parses the command line with which an agent starts a unit:
    ///
    /// ```text
    /// --cluster UUID --agent NAME --service NAME --region NAME --slot N
    /// --incarnation N --generation N [--receive-listener PATH]
    /// ```
    ///
    /// All but the last are required, in any order. Of a repeated argument, the last one counts.
    ///
    /// # Errors
    /// The first argument that is missing, unknown or malformed.
    pub fn from_arguments(
        arguments: impl IntoIterator<Item = String>,
    ) -> Result<Self, ArgumentError> {
        let mut values: [Option<String>; ARGUMENTS.len()] = Default::default();
        let mut arguments = arguments.into_iter();
        while let Some(name) = arguments.next() {
            let Some(index) = ARGUMENTS.iter().position(|known| *known == name) else {
                return Err(ArgumentError::Unknown { name });
            };
            values[index] = Some(arguments.next().ok_or(ArgumentError::MissingValue { name })?);
        }
        let [cluster, agent, service, region, slot, incarnation, generation, receive_listener] =
            values;
        Ok(Self {
            cluster: ClusterId(parse("--cluster", cluster)?),
            agent: parse::<AgentName>("--agent", agent)?,
            unit: UnitId {
                service: parse::<ServiceName>("--service", service)?,
                region: parse::<RegionName>("--region", region)?,
                slot: parse("--slot", slot)?,
            },
            incarnation: Incarnation(parse("--incarnation", incarnation)?),
            build: env!("CARGO_PKG_VERSION").to_owned(),
            generation: Generation(parse("--generation", generation)?),
            directory: PathBuf::from("."),
            listener: receive_listener
                .map_or_else(ListenerSource::default, |path| ListenerSource::Received(path.into())),
            workers: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            drain_timeouts: DrainTimeouts::default(),
        })
    }
}

fn parse<T: FromStr<Err: ToString>>(
    name: &'static str,
    value: Option<String>,
) -> Result<T, ArgumentError> {
    let value = value.ok_or(ArgumentError::Missing { name })?;
    value.parse().map_err(|error: T::Err| ArgumentError::InvalidValue {
        name,
        cause: error.to_string(),
        value,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<UnitConfig, ArgumentError> {
        UnitConfig::from_arguments(line.split(' ').map(str::to_owned))
    }

    const LINE: &str = "--cluster 01932f5e-8b1a-7c3d-9e4f-0123456789ab --agent we-1 \
                        --service contoso --region westeurope --slot 2 --incarnation 7 \
                        --generation 3";

    #[test]
    fn the_command_line_of_an_agent_is_parsed() {
        let config = parse(LINE).expect("the command line is complete");
        assert_eq!(config.unit.to_string(), "contoso/westeurope/2");
        assert_eq!((config.incarnation, config.generation), (Incarnation(7), Generation(3)));
        assert_eq!(config.listener, ListenerSource::Inherited);
        let config = parse(&format!("{LINE} --receive-listener u7.listener"))
            .expect("the command line is complete");
        assert_eq!(config.listener, ListenerSource::Received("u7.listener".into()));
    }

    #[test]
    fn errors_name_the_argument() {
        let incomplete = LINE.replace("--agent we-1 ", "");
        assert_eq!(parse(&incomplete).unwrap_err(), ArgumentError::Missing { name: "--agent" });
        let unknown = parse(&format!("{LINE} --color red")).unwrap_err();
        assert_eq!(unknown.to_string(), "unknown argument --color");
        let invalid = parse(&LINE.replace("contoso", "../x")).unwrap_err();
        assert!(
            invalid.to_string().starts_with("invalid value \"../x\" for argument --service:"),
            "{invalid}"
        );
        let short = parse(&LINE.replace("--generation 3", "--generation")).unwrap_err();
        assert_eq!(short.to_string(), "argument --generation requires a value");
    }
}
