//! Losses of gateways, as the log records them. [`reachability`](crate::reachability) has the rules.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{Generation, Revision, Timestamp, Zone};
use crate::limits;
use crate::name::{AgentName, RegionName, ServiceName};

/// Group of agents with one vote. Stored by position: append only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProberGroup {
    /// The agents of a region.
    Region(RegionName),
    /// The agents of a zone, in a cluster with one region. `None` for those without a zone.
    Zone(Option<Zone>),
    /// An agent, in a cluster with one region and one zone.
    Agent(AgentName),
}

/// Gateways of an agent that were lost or found together. Stored by position: append only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gateways {
    /// Those of all services.
    All,
    /// Those of one service.
    Of(ServiceName),
}

/// Loss of gateways, current or former.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// Groups that could not reach the gateways, of all that could have voted.
    pub evidence: Evidence,
    /// Revision of the event that recorded the loss.
    pub revision: Revision,
    /// Time of that event.
    pub since: Timestamp,
    /// Time of the event that ended the loss; `None` while it lasts.
    pub found: Option<Timestamp>,
    /// Number of earlier losses, each of which began within an hour after the previous one ended.
    pub relapses: u8,
}

/// Votes that a loss rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Groups that could not reach the gateways.
    pub unreachable_from: BTreeSet<ProberGroup>,
    /// Number of groups that could vote.
    pub groups: u8,
}

/// Votes for a loss, as counted by the leader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossVotes {
    /// The agent whose gateways were probed.
    pub agent: AgentName,
    /// Its generation while they were probed.
    pub generation: Generation,
    /// The gateways.
    pub gateways: Gateways,
    /// Groups that could not reach them throughout the window.
    pub unreachable_from: BTreeSet<ProberGroup>,
    /// See [`Loss::relapses`].
    pub relapses: u8,
}

/// Losses of the gateways of an agent.
pub type Losses = BTreeMap<Gateways, Loss>;

impl Loss {
    /// Returns true while the loss lasts.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.found.is_none()
    }

    /// Returns the number of relapses of a loss that begins at `now`, after this one.
    #[must_use]
    pub fn next_relapses(&self, now: Timestamp) -> u8 {
        if self.is_forgotten(now) { 0 } else { self.relapses.saturating_add(1) }
    }

    /// Returns true if the loss ended so long ago that the next one is no relapse.
    #[must_use]
    pub fn is_forgotten(&self, now: Timestamp) -> bool {
        let memory = limits::RELAPSE_MEMORY.as_millis() as u64;
        self.found.is_some_and(|ended| now.0.saturating_sub(ended.0) >= memory)
    }

    /// Returns the time for which the gateways must be reached before they count as found.
    #[must_use]
    pub fn stable_window(&self) -> Duration {
        let factor = 1_u32.checked_shl(self.relapses.into()).unwrap_or(u32::MAX);
        limits::STABLE_WINDOW.saturating_mul(factor).min(limits::MAX_STABLE_WINDOW)
    }
}

impl fmt::Display for ProberGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Region(region) => f.pad(region.as_str()),
            Self::Zone(Some(zone)) => f.pad(&format!("zone {zone}")),
            Self::Zone(None) => f.pad("no zone"),
            Self::Agent(agent) => f.pad(agent.as_str()),
        }
    }
}

impl fmt::Display for Gateways {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.pad("all services"),
            Self::Of(service) => f.pad(service.as_str()),
        }
    }
}
