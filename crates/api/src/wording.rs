//! Sentences: the only place where conditions of [`meridian_domain::status`] become text.
//!
//! A sentence states the fact with the name of its object; the next step is an imperative. Both are
//! for people; programs use the accompanying `reason` and `subject`.

mod condition;
mod impact;
mod location;
mod member;

use std::time::Duration;

use meridian_domain::status::{Silence, agent_of};
use meridian_domain::{NodeId, State};
use meridian_proto::convert::time;
use meridian_proto::v1;

pub(crate) use condition::{health, warnings};
pub(crate) use impact::wait as impact;
pub(crate) use location::{blocked, refused};
pub(crate) use member::{next, wait as member_wait};

/// Returns the name of a node's agent. A removed agent that is still a member has its member id;
/// before the cluster is bootstrapped, all names are empty.
pub(crate) fn name_of(state: &State, node: NodeId) -> String {
    match agent_of(state, node) {
        Some(agent) => agent.description.name.to_string(),
        None if state.header.cluster.is_some() => node.to_string(),
        None => String::new(),
    }
}

/// Converts the silence of an agent.
pub(crate) fn silence(silence: Silence) -> v1::Silence {
    let (duration, at_least) = match silence {
        Silence::Exactly(duration) => (Some(duration), false),
        Silence::AtLeast(duration) => (Some(duration), true),
        Silence::Unmeasured => (None, false),
    };
    v1::Silence { duration: duration.map(time::duration), at_least }
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
fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
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
