//! Classification of events by what a command reports about them.

use meridian_domain::Event;

/// Class of an event for the report of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// A unit gets an agent.
    AssignsUnit,
    /// A rollout starts, which continues after the change.
    StartsRollout,
    /// No effect that a report mentions besides the event itself.
    None,
}

impl Effect {
    /// The effect of an event. Matches every variant, so that a new one must be classified here.
    pub fn of(event: &Event) -> Self {
        match event {
            Event::UnitAssigned { .. } => Self::AssignsUnit,
            Event::RollStarted { .. } => Self::StartsRollout,
            Event::ClusterBootstrapped { .. }
            | Event::DataVersionRaised { .. }
            | Event::LimitsSet { .. }
            | Event::RegionDefined { .. }
            | Event::HistoryTrimmed { .. }
            | Event::AgentRegistered { .. }
            | Event::AgentUpdated { .. }
            | Event::AgentDrained { .. }
            | Event::AgentUndrained { .. }
            | Event::AgentRemoved { .. }
            | Event::ServiceCreated { .. }
            | Event::TierChanged { .. }
            | Event::PortChanged { .. }
            | Event::ServiceDeleted { .. }
            | Event::RegionAdded { .. }
            | Event::UnitsScaled { .. }
            | Event::ZonesChanged { .. }
            | Event::RegionRemoved { .. }
            | Event::PrimaryPromoted { .. }
            | Event::GatewayEnabled { .. }
            | Event::GatewayDisabled { .. }
            | Event::UnitReleased { .. }
            | Event::UnitReady { .. }
            | Event::UnitFailed { .. }
            | Event::UnitStopped { .. }
            | Event::ApiPublished { .. }
            | Event::ApiRemoved { .. }
            | Event::UnitConfigured { .. } => Self::None,
        }
    }
}
