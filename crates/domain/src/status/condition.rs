//! Conditions that an operator should know about, and their severity.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::id::NodeId;
use crate::loss::{Gateways, ProberGroup};
use crate::name::{AgentName, RegionName, ServiceName};

use super::location::{LocationCondition, LocationStatus};
use super::member::{MemberChange, PendingMember, WaitsFor};
use super::observations::{DiskSpace, Silence};
use super::settings::SharedSetting;

/// Condition that an operator should know about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Fewer voters are reachable than a majority.
    NoQuorum {
        /// Voters that are reachable.
        reachable: usize,
        /// All voters.
        voters: usize,
        /// Voters that make a majority.
        needed: usize,
    },
    /// Enough voters are reachable, and none of them is known to lead.
    NoLeader,
    /// There is no leader: the contacted agent's name server goes by the last state that it received, and
    /// by what it reaches itself.
    LocalView {
        /// Time since it last heard from a leader; `None` if it never did.
        age: Option<Duration>,
    },
    /// Some groups fail to reach gateways of an agent, too few for a loss.
    PartlyUnreachable {
        /// The agent.
        agent: AgentName,
        /// Its gateways.
        gateways: Gateways,
        /// Groups that fail to reach them.
        unreachable_from: BTreeSet<ProberGroup>,
        /// Number of groups that can vote.
        groups: usize,
    },
    /// Agents at the same position hold different states or events.
    StatesDiffer {
        /// Those agents.
        agents: Vec<AgentName>,
    },
    /// Agents have different values of a setting that is to be equal on all of them.
    SettingDiffers {
        /// The setting.
        setting: SharedSetting,
        /// Each value, with the agents that have it.
        values: BTreeMap<String, Vec<AgentName>>,
    },
    /// An agent is unreachable, so the state of its units is unknown.
    AgentUnreachable {
        /// The agent.
        agent: AgentName,
        /// Its region.
        region: RegionName,
        /// Time since it was last heard from.
        silence: Silence,
        /// Its units.
        units: usize,
    },
    /// Two processes run with the node id of an agent.
    AgentDuplicated {
        /// The agent.
        agent: AgentName,
    },
    /// The disk of an agent is below its minimum of free space, or near it.
    DiskLow {
        /// The agent.
        agent: AgentName,
        /// Its region.
        region: RegionName,
        /// Space of its disk.
        disk: DiskSpace,
        /// True if it leads, so that it decides whether changes are accepted.
        leads: bool,
    },
    /// A membership change cannot proceed.
    MemberPending(PendingMember),
    /// The round trip between two voters is longer than the network profile allows.
    LongRoundTrip {
        /// The contacted node, which measured it.
        observer: NodeId,
        /// The agent of the other voter.
        agent: AgentName,
        /// Median of the latest round trips.
        median: Duration,
        /// Maximum of the network profile.
        limit: Duration,
    },
    /// An agent did not respond to the contacted node, and the leader has heard from it recently.
    AgentNotResponding {
        /// The agent.
        agent: AgentName,
        /// Its region.
        region: RegionName,
    },
    /// A location is not as declared.
    Location {
        /// The service.
        service: ServiceName,
        /// The region.
        region: RegionName,
        /// Units declared.
        units: u16,
        /// Its status.
        status: LocationStatus,
    },
    /// No region of a service serves its clients.
    ServiceUnavailable {
        /// The service.
        service: ServiceName,
        /// Its locations whose gateway is enabled: none if an operator disabled all.
        enabled: usize,
    },
    /// With this few voters, the loss of one stops all changes.
    FewVoters {
        /// All voters.
        voters: usize,
    },
}

/// Severity of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Informational: everything works as declared, or will without an operator.
    Notice,
    /// Capacity or redundancy is below what was declared.
    Degraded,
    /// No region of some service serves.
    ServiceUnavailable,
    /// No change is accepted.
    ChangesRefused,
}

impl Condition {
    /// Returns the severity.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::NoQuorum { .. } | Self::NoLeader => Severity::ChangesRefused,
            Self::StatesDiffer { .. }
            | Self::PartlyUnreachable { .. }
            | Self::AgentDuplicated { .. }
            | Self::AgentUnreachable { .. }
            | Self::LongRoundTrip { .. }
            | Self::AgentNotResponding { .. } => Severity::Degraded,
            Self::DiskLow { disk, leads, .. } => match (disk.is_below_minimum(), leads) {
                (true, true) => Severity::ChangesRefused,
                (true, false) => Severity::Degraded,
                (false, _) => Severity::Notice,
            },
            Self::SettingDiffers { setting, .. } => setting.severity(),
            Self::MemberPending(pending) => pending.severity(),
            Self::Location { status, .. } => status.severity(),
            Self::ServiceUnavailable { .. } => Severity::ServiceUnavailable,
            Self::LocalView { .. } | Self::FewVoters { .. } => Severity::Notice,
        }
    }
}

impl SharedSetting {
    /// Agents of different network profiles may depose each other's leader. The other settings decide
    /// only how much of the log an agent keeps, and to which region a name server sends a client.
    fn severity(self) -> Severity {
        match self {
            Self::Network => Severity::Degraded,
            Self::SnapshotAfterEntries | Self::KeepEntries | Self::LocationDatabase => {
                Severity::Notice
            }
        }
    }
}

impl PendingMember {
    fn severity(&self) -> Severity {
        match (self.change, &self.waits_for) {
            (_, WaitsFor::CatchUp { .. }) => Severity::Notice,
            (
                MemberChange::GainVote | MemberChange::LoseVote | MemberChange::Leave,
                WaitsFor::Response
                | WaitsFor::Majority { .. }
                | WaitsFor::Replacement { .. }
                | WaitsFor::TransferTarget { .. },
            ) => Severity::Degraded,
        }
    }
}

impl LocationStatus {
    /// A rollout that is blocked, for example by a unit that fails, does not end by itself.
    fn severity(&self) -> Severity {
        match self.condition {
            LocationCondition::Disabled
            | LocationCondition::DrainingClients
            | LocationCondition::Ready => Severity::Notice,
            LocationCondition::RollingOut if self.blocked.is_empty() => Severity::Notice,
            LocationCondition::RollingOut
            | LocationCondition::NoAgent
            | LocationCondition::Offline { .. }
            | LocationCondition::Unmanaged
            | LocationCondition::AgentUnreachable
            | LocationCondition::Degraded
            | LocationCondition::UnitsMissing => Severity::Degraded,
        }
    }
}
