//! Sentences: the only place where conditions, consequences and events of [`meridian_domain`] become text.
//!
//! A sentence states the fact with the name of its object; the next step is an imperative. Both are
//! for people; programs use the accompanying reason and subject. The gRPC API, the command line and the
//! web page show the same sentences.
//!
//! This crate must not know how they are shown: neither gRPC, nor HTML, nor a terminal.

#![warn(clippy::wildcard_enum_match_arm)]

mod condition;
pub mod event;
mod impact;
mod location;
mod member;

use std::fmt::Display;
use std::time::Duration;

use meridian_domain::status::{Severity, Silence, agent_of};
use meridian_domain::{NodeId, State};

pub use condition::warnings;
pub use impact::impact;
pub use location::{blocked, location_word, refused};
pub use member::member_wait;

/// A fact with its next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Code of the fact, in upper case.
    pub reason: &'static str,
    /// Path of its object, such as `agents/eastus-1`; empty for the cluster as a whole.
    pub subject: String,
    /// The fact.
    pub message: String,
    /// The next step; empty if there is none.
    pub next_step: String,
}

/// A condition that an operator should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Its severity.
    pub severity: Severity,
    /// The condition.
    pub statement: Statement,
}

/// Returns the name of a node's agent. A removed agent that is still a member has its member id;
/// before the cluster is bootstrapped, all names are empty.
#[must_use]
pub fn name_of(state: &State, node: NodeId) -> String {
    match agent_of(state, node) {
        Some(agent) => agent.description.name.to_string(),
        None if state.header.cluster.is_some() => node.to_string(),
        None => String::new(),
    }
}

/// Returns a phrase such as ` for 12 s`; empty if the duration is not known.
fn for_duration(silence: Silence) -> String {
    match silence {
        Silence::Exactly(duration) => format!(" for {}", seconds(duration)),
        Silence::AtLeast(duration) if duration >= Duration::from_secs(1) => {
            format!(" for at least {}", seconds(duration))
        }
        Silence::AtLeast(_) | Silence::Unmeasured => String::new(),
    }
}

fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => "less than 1 s".to_owned(),
        1..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200.. => format!("{} h", seconds / 3_600),
    }
}

/// Returns `1 unit`, `2 units`.
#[must_use]
pub fn count<N: Display + PartialEq + From<u8>>(number: N, noun: &str) -> String {
    let plural = if number == N::from(1) { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_one_unit() {
        for (duration, text) in [
            (600, "less than 1 s"),
            (12_900, "12 s"),
            (119_000, "119 s"),
            (120_000, "2 min"),
            (7_199_000, "119 min"),
            (7_200_000, "2 h"),
        ] {
            assert_eq!(seconds(Duration::from_millis(duration)), text);
        }
    }
}
