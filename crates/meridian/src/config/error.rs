//! Why a configuration is refused: a line of cause and a line of next step.

use std::io;
use std::path::PathBuf;

use super::key::find;
use super::values::Origin;

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration file {} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{} line {line}: {cause}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        cause: String,
    },
    /// There is no such key.
    #[error("{origin}: there is no key {key:?}{}", suggestion(nearest.as_deref()))]
    UnknownKey {
        /// Where it stands.
        origin: Origin,
        /// The key.
        key: String,
        /// The known one that is most like it.
        nearest: Option<String>,
    },
    /// The value in the file is of the wrong kind.
    #[error("{origin}: {key} has to be {wanted}")]
    WrongKind {
        /// Where it stands.
        origin: Origin,
        /// The key.
        key: &'static str,
        /// What is expected.
        wanted: &'static str,
    },
    /// The value makes no sense.
    #[error("{origin}: {key} cannot be {value:?}: {cause}")]
    Invalid {
        /// Where it was given.
        origin: Origin,
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
        /// Which rule it breaks.
        cause: String,
    },
    /// A key that has to be given is not.
    #[error("{key} is not given")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// Others cannot dial the address on which the agent listens.
    #[error("{origin}: others cannot dial {value}, so {key} has to be given")]
    Undialable {
        /// Where the address to listen on was given.
        origin: Origin,
        /// The address to listen on.
        value: String,
        /// The key of the address to dial.
        key: &'static str,
    },
    /// The agent would listen where others could reach it, unprotected.
    #[error(
        "{origin}: {key} is {value}, which is not a loopback address, and there is neither \
         encryption nor authentication yet"
    )]
    Exposed {
        /// Where it was given.
        origin: Origin,
        /// The key.
        key: &'static str,
        /// The address.
        value: String,
    },
    /// Two of the ports are one.
    #[error("{first} and {second} are both {value}")]
    SameAddress {
        /// A key.
        first: &'static str,
        /// Another one.
        second: &'static str,
        /// Their value.
        value: String,
    },
    /// Both a founder and a joining agent.
    #[error(
        "{init} says init, and {join} says join: an agent either founds a cluster or joins one"
    )]
    InitAndJoin {
        /// Where `init` was given.
        init: Origin,
        /// Where `join` was given.
        join: Origin,
    },
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; the nearest is {name:?}"))
}

impl ConfigError {
    /// What to do about it, in a line.
    #[must_use]
    pub fn next_step(&self) -> String {
        match self {
            Self::Unreadable { .. } => "give an existing file to --config".to_owned(),
            Self::Syntax { .. } => {
                "mend that line; deploy/agent.example.toml shows every key".to_owned()
            }
            Self::UnknownKey { nearest: Some(name), .. } => format!("write {name}, or remove it"),
            Self::UnknownKey { nearest: None, .. } => {
                "remove it; deploy/agent.example.toml shows every key".to_owned()
            }
            Self::WrongKind { key, .. } | Self::Invalid { key, .. } => explain(key),
            Self::Missing { key } | Self::Undialable { key, .. } => {
                let known = find(key);
                let flag = known.map(|key| key.flag()).unwrap_or_default();
                let variable = known.map(|key| key.variable()).unwrap_or_default();
                format!("give it as {key} in the file, as {variable} or by {flag}")
            }
            Self::Exposed { .. } => "listen on 127.0.0.1 or ::1, or, in a network where everybody \
                                     may command the cluster, add --insecure"
                .to_owned(),
            Self::SameAddress { second, .. } => format!("give {second} another port"),
            Self::InitAndJoin { .. } => "remove one of them".to_owned(),
        }
    }
}

fn explain(key: &str) -> String {
    let help = find(key).map_or("", |key| key.help);
    format!("{key}: {help}")
}
