//! Configuration errors, each with its next step.

use std::io;
use std::path::PathBuf;

use super::key::find;
use super::values::Origin;

/// Reason why a configuration is invalid.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{} line {line}: {cause}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// The syntax error.
        cause: String,
    },
    /// The key is unknown.
    #[error("{origin}: unknown key {key:?}{}", suggestion(nearest.as_deref()))]
    UnknownKey {
        /// Location of the key.
        origin: Origin,
        /// The key.
        key: String,
        /// The most similar known key.
        nearest: Option<String>,
    },
    /// The value in the file has the wrong type.
    #[error("{origin}: {key} must be {expected}")]
    WrongKind {
        /// Location of the key.
        origin: Origin,
        /// The key.
        key: &'static str,
        /// The expected type.
        expected: &'static str,
    },
    /// The value is invalid.
    #[error("{origin}: invalid {key} {value:?}: {cause}")]
    Invalid {
        /// Origin of the value.
        origin: Origin,
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
        /// The broken rule.
        cause: String,
    },
    /// A required key is not set.
    #[error("{key} is not set")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// The listening address cannot be dialed by others.
    #[error("{origin}: others cannot dial {value}, so {key} must be set")]
    Undialable {
        /// Origin of the listening address.
        origin: Origin,
        /// The listening address.
        value: String,
        /// Key of the address to dial.
        key: &'static str,
    },
    /// The agent would listen on an address that other machines can reach, without protection.
    #[error(
        "{origin}: {key} is {value}, which is not a loopback address, and connections are neither \
         encrypted nor authenticated yet"
    )]
    Exposed {
        /// Origin of the value.
        origin: Origin,
        /// The key.
        key: &'static str,
        /// The address.
        value: String,
    },
    /// Two ports have the same address.
    #[error("{first} and {second} are both {value}")]
    SameAddress {
        /// Key of the first port.
        first: &'static str,
        /// Key of the second port.
        second: &'static str,
        /// The address.
        value: String,
    },
    /// Both `bootstrap` and `join` are set.
    #[error(
        "{bootstrap} sets bootstrap and {join} sets join: an agent either bootstraps a cluster or \
         joins one"
    )]
    BootstrapAndJoin {
        /// Origin of `bootstrap`.
        bootstrap: Origin,
        /// Origin of `join`.
        join: Origin,
    },
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; the nearest is {name:?}"))
}

impl ConfigError {
    /// Returns the next step for the operator, in one line.
    #[must_use]
    pub fn next_step(&self) -> String {
        match self {
            Self::Unreadable { .. } => "pass an existing, readable file to --config".to_owned(),
            Self::Syntax { .. } => {
                "fix that line; deploy/agent.example.toml shows every key".to_owned()
            }
            Self::UnknownKey { nearest: Some(name), .. } => {
                format!("use {name}, or remove the key")
            }
            Self::UnknownKey { nearest: None, .. } => {
                "remove the key; deploy/agent.example.toml shows every key".to_owned()
            }
            Self::WrongKind { key, .. } | Self::Invalid { key, .. } => explain(key),
            Self::Missing { key } | Self::Undialable { key, .. } => {
                let known = find(key);
                let flag = known.map(|key| key.flag()).unwrap_or_default();
                let variable = known.map(|key| key.variable()).unwrap_or_default();
                format!("set {key} in the file, {variable}, or {flag}")
            }
            Self::Exposed { .. } => "listen on 127.0.0.1 or ::1; in a network where every machine \
                                     may control the cluster, add --insecure"
                .to_owned(),
            Self::SameAddress { second, .. } => format!("set another port for {second}"),
            Self::BootstrapAndJoin { .. } => "remove one of the two".to_owned(),
        }
    }
}

fn explain(key: &str) -> String {
    let help = find(key).map_or("", |key| key.help);
    format!("{key}: {help}")
}
