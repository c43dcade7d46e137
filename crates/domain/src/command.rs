//! Commands: requests to change the state. A command may be rejected; the events that it leads to
//! may not.

use serde::{Deserialize, Serialize};

use crate::agent::AgentDescription;
use crate::api::Api;
use crate::catalog::Region;
use crate::dns::DnsSettings;
use crate::id::{ClusterId, DataVersion, Epoch, Revision, Zones};
use crate::limits::Limits;
use crate::loss::{Gateways, LossVotes};
use crate::name::{AgentName, ApiName, RegionName, ServiceName};
use crate::network::Network;
use crate::report::Report;
use crate::routing_policy::RoutingPolicy;
use crate::tier::Tier;
use crate::when_disabled::WhenDisabled;

/// A request to change the state. Atomic: all of its events are applied, or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Bootstraps a new cluster. Proposed by the first leader. Idempotent.
    BootstrapCluster {
        /// Id of the new cluster.
        cluster: ClusterId,
        /// Initial agents. They are registered together, because a Raft member without a registered
        /// agent is treated as removed.
        agents: Vec<AgentDescription>,
    },
    /// Allows events of a newer data version. Proposed by the leader once all agents support it.
    RaiseDataVersion {
        /// New data version.
        version: DataVersion,
    },
    /// Replaces the limits.
    SetLimits {
        /// New limits.
        limits: Limits,
    },
    /// Adds a custom region or replaces one.
    DefineRegion {
        /// The region.
        region: Region,
    },
    /// Removes old events from the history. Their effect on the state remains.
    TrimHistory {
        /// Last event to remove; rounded down to the end of a segment.
        through: Revision,
    },
    /// Registers an agent or updates its addresses. Idempotent.
    RegisterAgent(AgentDescription),
    /// Moves the units of an agent to other agents and assigns it no new ones.
    DrainAgent {
        /// Name of the agent.
        agent: AgentName,
    },
    /// Allows units on a drained agent again.
    UndrainAgent {
        /// Name of the agent.
        agent: AgentName,
    },
    /// Removes an agent. Its units are assigned to other agents.
    RemoveAgent {
        /// Name of the agent.
        agent: AgentName,
    },
    /// Creates a service with one unit in its primary region.
    CreateService {
        /// Name of the service.
        service: ServiceName,
        /// Tier of the service.
        tier: Tier,
        /// Primary region, and the only one at first.
        primary: RegionName,
        /// Gateway port. Default: the lowest free one from 8080.
        port: Option<u16>,
        /// Responses of its gateways where they are disabled.
        when_disabled: WhenDisabled,
    },
    /// Applies a change set to a service.
    ChangeService {
        /// Name of the service.
        service: ServiceName,
        /// Revision of the service that the edits are based on. The command is rejected if the
        /// service is at another one. Unchecked if `None`.
        expected: Option<Revision>,
        /// Edits, validated as a whole.
        edits: Vec<Edit>,
    },
    /// Deletes a service and stops its units.
    DeleteService {
        /// Name of the service.
        service: ServiceName,
        /// Expected revision, as in [`Command::ChangeService`].
        expected: Option<Revision>,
    },
    /// Reports the status of the units of an agent.
    Report(Report),
    /// Replaces the units of a service, one after another in each region.
    RollUnits {
        /// Name of the service.
        service: ServiceName,
        /// Region to restrict the replacement to. All regions if `None`.
        region: Option<RegionName>,
    },
    /// Records that the cluster was recovered on one agent. Proposed by its leader in the name of
    /// the operator who did it. Idempotent.
    RecordRecovery {
        /// Epoch that the recovery started.
        epoch: Epoch,
    },
    /// Replaces the settings of the name servers.
    SetDns {
        /// New settings.
        settings: DnsSettings,
    },
    /// Changes the networks of clients. Each network occurs at most once.
    ChangeNetworks {
        /// Networks to assign to the regions closest to them.
        assign: Vec<(Network, RegionName)>,
        /// Networks to remove.
        remove: Vec<Network>,
    },
    /// Records the round trips from a region to others, unless they are about as known.
    RecordRoundTrips {
        /// The region.
        from: RegionName,
        /// Median round trips in microseconds.
        measured: Vec<(RegionName, u32)>,
    },
    /// Records that a majority cannot reach gateways of an agent. Proposed by the leader.
    LoseGateways(LossVotes),
    /// Records that gateways of an agent are reachable again. Proposed by the leader.
    FindGateways {
        /// Name of the agent.
        agent: AgentName,
        /// The gateways.
        gateways: Gateways,
    },
}

/// One edit of a change set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Edit {
    /// Adds a location in a new region.
    Add {
        /// The region.
        region: RegionName,
        /// Desired number of units.
        units: u16,
        /// Zones to spread the units over. Empty for no zones.
        zones: Zones,
    },
    /// Changes an existing location.
    Scale {
        /// The region.
        region: RegionName,
        /// Desired number of units. Unchanged if `None`.
        units: Option<u16>,
        /// Zones to spread the units over. Unchanged if `None`.
        zones: Option<Zones>,
    },
    /// Adds a location, or scales it if it exists.
    Set {
        /// The region.
        region: RegionName,
        /// Desired number of units.
        units: u16,
    },
    /// Removes a location other than the primary one.
    Remove {
        /// The region.
        region: RegionName,
    },
    /// Makes a location the primary one.
    Promote {
        /// The region.
        region: RegionName,
    },
    /// Enables the gateways of a location.
    Enable {
        /// The region.
        region: RegionName,
    },
    /// Disables the gateways of a location: its units keep running and serve no clients.
    Disable {
        /// The region.
        region: RegionName,
    },
    /// Changes the preference of clients for a location.
    Prefer {
        /// The region.
        region: RegionName,
        /// Priority. Unchanged if `None`.
        priority: Option<u16>,
        /// Weight. Unchanged if `None`.
        weight: Option<u16>,
    },
    /// Changes the routing policy.
    Routing(RoutingPolicy),
    /// Changes the responses of disabled gateways.
    WhenDisabled(WhenDisabled),
    /// Changes the tier.
    Tier(Tier),
    /// Changes the gateway port.
    Port(u16),
    /// Adds an API, or replaces the one of that name.
    PublishApi(Api),
    /// Removes an API.
    RemoveApi {
        /// Name of the API.
        api: ApiName,
    },
}
