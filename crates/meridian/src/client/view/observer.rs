//! The observer whose contacts decide which agents are reachable, and the silence of those that are not.

use std::time::Duration;

use meridian_proto::v1;
use serde::Serialize;

use super::{millis, time};

/// Observer whose contacts decide which agents are reachable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObserverView {
    /// Its agent.
    pub agent: String,
    /// True for the leader; false for the contacted agent, to which no leader responded.
    pub leader: bool,
}

impl From<v1::Observer> for ObserverView {
    fn from(observer: v1::Observer) -> Self {
        Self { agent: observer.agent, leader: observer.leader }
    }
}

/// Time since an unreachable agent was last heard from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SilenceView {
    /// Milliseconds; null if not known.
    pub ms: Option<u64>,
    /// True if `ms` is a lower bound.
    pub at_least: bool,
}

impl From<v1::Silence> for SilenceView {
    fn from(silence: v1::Silence) -> Self {
        Self { ms: millis(silence.duration), at_least: silence.at_least }
    }
}

impl SilenceView {
    /// Returns a phrase such as ` 12 s` or ` over 12 s`, to follow a status; empty if not known.
    pub fn suffix(self) -> String {
        let Some(ms) = self.ms else { return String::new() };
        let duration = time::short(Duration::from_millis(ms));
        match self.at_least {
            true if ms < 1_000 => String::new(),
            true => format!(" over {duration}"),
            false => format!(" {duration}"),
        }
    }

    /// Returns the same with milliseconds, such as ` over 12000 ms`.
    pub fn exact_suffix(self) -> String {
        match (self.ms, self.at_least) {
            (None, _) => String::new(),
            (Some(ms), true) => format!(" over {ms} ms"),
            (Some(ms), false) => format!(" {ms} ms"),
        }
    }
}
