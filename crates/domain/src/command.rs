//! What can be asked for. A command may be refused; the events that it leads to may not.

use serde::{Deserialize, Serialize};

use crate::agent::AgentDescription;
use crate::api::Api;
use crate::catalogue::Region;
use crate::id::{ClusterId, DataVersion, Revision, Zones};
use crate::limits::Limits;
use crate::name::{AgentName, ApiName, RegionName, ServiceName};
use crate::report::Report;
use crate::tier::Tier;

/// One request for change: all of it happens, or none of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Begin the log of a new cluster. Asked by the first leader; repeating it changes nothing.
    FoundCluster {
        /// Its identity.
        cluster: ClusterId,
        /// Its first agents. All of them become known at once: whoever is a Raft member and not known
        /// would be taken for one that was removed.
        founders: Vec<AgentDescription>,
    },
    /// Let newer events be written. Asked by the leader once all agents support them.
    RaiseDataVersion {
        /// The version to rise to.
        version: DataVersion,
    },
    /// Replace the limits.
    SetLimits {
        /// All of them.
        limits: Limits,
    },
    /// Add a region to the catalogue, or correct one that was added.
    DefineRegion {
        /// The whole region.
        region: Region,
    },
    /// Forget events: they can no longer be read, their effect stays.
    TrimHistory {
        /// The last event to forget; rounded down to the end of a whole segment.
        through: Revision,
    },
    /// Make an agent known, or note its new addresses. Repeating it changes nothing.
    RegisterAgent(AgentDescription),
    /// Move an agent's units elsewhere and give it no new ones.
    DrainAgent {
        /// Which one.
        agent: AgentName,
    },
    /// Let a drained agent have units again.
    UndrainAgent {
        /// Which one.
        agent: AgentName,
    },
    /// Forget an agent, whose units are placed elsewhere.
    RemoveAgent {
        /// Which one.
        agent: AgentName,
    },
    /// Create a service with one unit in its primary region.
    CreateService {
        /// Its name.
        service: ServiceName,
        /// Its tier.
        tier: Tier,
        /// Its first region.
        primary: RegionName,
        /// The port of its gateways; the lowest free one from 8080 where none is given.
        port: Option<u16>,
    },
    /// Change a service: one save.
    ChangeService {
        /// Which one.
        service: ServiceName,
        /// The configuration revision of the service that the edits were made against; refused where
        /// it is not the present one.
        expected: Option<Revision>,
        /// What to change, checked as a whole.
        edits: Vec<Edit>,
    },
    /// Delete a service and stop its units.
    DeleteService {
        /// Which one.
        service: ServiceName,
        /// As in [`Command::ChangeService`].
        expected: Option<Revision>,
    },
    /// An agent says how its units are.
    Report(Report),
    /// Replace the units of a service, one after another in each region.
    RollUnits {
        /// Which service.
        service: ServiceName,
        /// In this region alone; in all of them where none is given.
        region: Option<RegionName>,
    },
}

/// One edit of a change set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Edit {
    /// Add a region that the service is not in.
    Add {
        /// The region.
        region: RegionName,
        /// Units wanted there.
        units: u16,
        /// Zones to spread them over; none where empty.
        zones: Zones,
    },
    /// Change a location that exists.
    Scale {
        /// The region.
        region: RegionName,
        /// Units wanted; as they are where not given.
        units: Option<u16>,
        /// Zones; as they are where not given.
        zones: Option<Zones>,
    },
    /// Add the region or scale it: whichever it takes.
    Set {
        /// The region.
        region: RegionName,
        /// Units wanted there.
        units: u16,
    },
    /// Remove a location that is not the primary's.
    Remove {
        /// The region.
        region: RegionName,
    },
    /// Make a location the primary one.
    Promote {
        /// The region.
        region: RegionName,
    },
    /// Serve callers in a location.
    Enable {
        /// The region.
        region: RegionName,
    },
    /// Serve no callers in a location, and keep its units.
    Disable {
        /// The region.
        region: RegionName,
    },
    /// Change the tier.
    Tier(Tier),
    /// Change the port of the gateways.
    Port(u16),
    /// Add an API, or replace the one of that name.
    PublishApi(Api),
    /// Remove an API.
    RemoveApi {
        /// Its name.
        api: ApiName,
    },
}

impl Edit {
    /// The region that the edit is about, if it is about one.
    #[must_use]
    pub fn region(&self) -> Option<&RegionName> {
        match self {
            Self::Add { region, .. }
            | Self::Scale { region, .. }
            | Self::Set { region, .. }
            | Self::Remove { region }
            | Self::Promote { region }
            | Self::Enable { region }
            | Self::Disable { region } => Some(region),
            Self::Tier(_) | Self::Port(_) | Self::PublishApi(_) | Self::RemoveApi { .. } => None,
        }
    }
}
