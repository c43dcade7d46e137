//! Classification of events by what a command reports about them.

use meridian_domain::{Event, UnitId};

/// Class of an event for the report of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect<'a> {
    /// A unit gets an agent.
    AssignsUnit(&'a UnitId),
    /// A rollout starts, which continues after the change.
    StartsRollout,
    /// No effect that a report mentions besides the event itself.
    None,
}

impl<'a> Effect<'a> {
    /// The effect of an event. Matches every variant, so that a new one must be classified here.
    pub fn of(event: &'a Event) -> Self {
        match event {
            Event::UnitAssigned { unit, .. } => Self::AssignsUnit(unit),
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
            | Event::UnitConfigured { .. }
            | Event::ClusterRecovered { .. }
            | Event::UnitRefused { .. }
            | Event::RoutingChanged { .. }
            | Event::PreferenceChanged { .. }
            | Event::DnsSet { .. }
            | Event::NetworkAssigned { .. }
            | Event::NetworkRemoved { .. }
            | Event::RoundTripMeasured { .. }
            | Event::GatewaysLost { .. }
            | Event::GatewaysFound { .. }
            | Event::WhenDisabledChanged { .. } => Self::None,
        }
    }
}
