//! What a unit is told when it is started.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use meridian_domain::{
    AgentName, ClusterId, Generation, Incarnation, RegionName, ServiceName, UnitId,
};

/// What a unit is told when it is started. The fields up to `build` are its identity.
#[derive(Debug, Clone)]
pub struct UnitConfig {
    /// The cluster that it belongs to.
    pub cluster: ClusterId,
    /// The agent that starts it.
    pub agent: AgentName,
    /// Its place.
    pub unit: UnitId,
    /// Its assignment.
    pub incarnation: Incarnation,
    /// The version of the software that it runs. Default: this crate's version.
    pub build: String,
    /// The generation of the agent that starts it: older ones are refused.
    pub generation: Generation,
    /// The run directory. Default: the working directory, because the path of a control socket has
    /// at most 108 bytes (unix(7)) and a data directory may be deeper than that.
    pub directory: PathBuf,
    /// Where its listening socket comes from. Default: inherited.
    pub listener: ListenerSource,
    /// Its threads. Default: one for each core that this process may use.
    pub workers: NonZeroUsize,
    /// How long it waits for whom. Default: see there.
    pub patience: Patience,
}

/// Where a unit's listening socket comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ListenerSource {
    /// It is the unit's standard input.
    #[default]
    Inherited,
    /// The agent hands it over, over a Unix socket that the unit opens at this path, relative to the
    /// run directory.
    Handed(PathBuf),
}

/// How long a unit waits for whom.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For callers to end their connections by themselves, in a drain. Default 3 s.
    pub polite: Duration,
    /// For running calls, after that; what runs longer is cut. Default 7 s.
    pub finish: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { polite: Duration::from_secs(3), finish: Duration::from_secs(7) }
    }
}

/// A unit was started with arguments that it does not understand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    /// An argument has no value.
    #[error("{name} needs a value")]
    NoValue {
        /// The argument.
        name: String,
    },
    /// A value is not of the kind that its argument wants.
    #[error("{name} cannot be {value:?}: {cause}")]
    BadValue {
        /// The argument.
        name: &'static str,
        /// What was given.
        value: String,
        /// Which rule it breaks.
        cause: String,
    },
    /// There is no such argument.
    #[error("a unit knows no argument {name}")]
    Unknown {
        /// The argument.
        name: String,
    },
    /// An argument is missing.
    #[error("{name} is missing")]
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
    "--handed-listener",
];

impl UnitConfig {
    /// Understands what an agent writes on a unit's command line:
    ///
    /// ```text
    /// --cluster UUID --agent NAME --service NAME --region NAME --slot N
    /// --incarnation N --generation N [--handed-listener PATH]
    /// ```
    ///
    /// All but the last are needed, in any order; of a repeated one, the last counts.
    ///
    /// # Errors
    /// The first argument that is missing, unknown or malformed.
    pub fn from_arguments(
        arguments: impl IntoIterator<Item = String>,
    ) -> Result<Self, ArgumentError> {
        let mut values: [Option<String>; ARGUMENTS.len()] = Default::default();
        let mut arguments = arguments.into_iter();
        while let Some(name) = arguments.next() {
            let Some(place) = ARGUMENTS.iter().position(|known| *known == name) else {
                return Err(ArgumentError::Unknown { name });
            };
            values[place] = Some(arguments.next().ok_or(ArgumentError::NoValue { name })?);
        }
        let [cluster, agent, service, region, slot, incarnation, generation, handed] = values;
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
            listener: handed
                .map_or_else(ListenerSource::default, |path| ListenerSource::Handed(path.into())),
            workers: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            patience: Patience::default(),
        })
    }
}

fn parse<T: FromStr<Err: ToString>>(
    name: &'static str,
    value: Option<String>,
) -> Result<T, ArgumentError> {
    let value = value.ok_or(ArgumentError::Missing { name })?;
    value.parse().map_err(|error: T::Err| ArgumentError::BadValue {
        name,
        cause: error.to_string(),
        value,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<UnitConfig, ArgumentError> {
        UnitConfig::from_arguments(line.split(' ').map(str::to_owned))
    }

    const LINE: &str = "--cluster 01932f5e-8b1a-7c3d-9e4f-0123456789ab --agent we-1 \
                        --service contoso --region westeurope --slot 2 --incarnation 7 \
                        --generation 3";

    #[test]
    fn the_command_line_of_an_agent_is_understood() {
        let config = parse(LINE).expect("is complete");
        assert_eq!(config.unit.to_string(), "contoso/westeurope/2");
        assert_eq!((config.incarnation, config.generation), (Incarnation(7), Generation(3)));
        assert_eq!(config.listener, ListenerSource::Inherited);
        let config = parse(&format!("{LINE} --handed-listener u7.listener")).expect("is complete");
        assert_eq!(config.listener, ListenerSource::Handed("u7.listener".into()));
    }

    #[test]
    fn the_argument_at_fault_is_named() {
        let without = LINE.replace("--agent we-1 ", "");
        assert_eq!(parse(&without).unwrap_err(), ArgumentError::Missing { name: "--agent" });
        let odd = parse(&format!("{LINE} --colour red")).unwrap_err();
        assert_eq!(odd.to_string(), "a unit knows no argument --colour");
        let bad = parse(&LINE.replace("contoso", "../x")).unwrap_err();
        assert!(bad.to_string().starts_with("--service cannot be \"../x\":"), "{bad}");
        let short = parse(&LINE.replace("--generation 3", "--generation")).unwrap_err();
        assert_eq!(short.to_string(), "--generation needs a value");
    }
}
