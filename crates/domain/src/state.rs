//! Replicated state: the result of applying the log.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::agent::Agent;
use crate::api::Api;
use crate::catalog::{self, Region};
use crate::dns::DnsSettings;
use crate::id::{ClusterId, DataVersion, Epoch, Incarnation, Revision, Timestamp, UnitId};
use crate::limits::Limits;
use crate::loss::Losses;
use crate::name::{AgentName, ApiName, RegionName, ServiceName};
use crate::network::Network;
use crate::outcome::Outcomes;
use crate::round_trip::MeasuredRoundTrip;
use crate::service::Service;
use crate::unit::Unit;

/// State after the log up to [`Header::revision`]. Equal on all nodes that have applied the same
/// entries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Single values.
    pub header: Header,
    /// Services.
    pub services: BTreeMap<ServiceName, Service>,
    /// APIs of all services.
    pub apis: BTreeMap<(ServiceName, ApiName), Api>,
    /// Assignments of units that have not stopped.
    pub units: BTreeMap<(UnitId, Incarnation), Unit>,
    /// Agents.
    pub agents: BTreeMap<AgentName, Agent>,
    /// Losses of the gateways of agents, current and former.
    pub losses: BTreeMap<AgentName, Losses>,
    /// Custom regions.
    pub regions: BTreeMap<RegionName, Region>,
    /// Networks of clients, each with the region closest to it.
    pub networks: BTreeMap<Network, RegionName>,
    /// Measured round trips between two regions, the first by name first.
    pub round_trips: BTreeMap<(RegionName, RegionName), MeasuredRoundTrip>,
    /// Outcomes of operator requests.
    pub outcomes: Outcomes,
}

/// Single values of a [`State`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Id of the cluster, once it is bootstrapped.
    pub cluster: Option<ClusterId>,
    /// Newest data version that may be written.
    pub data_version: DataVersion,
    /// Revision of the last event.
    pub revision: Revision,
    /// Time of the last entry.
    pub time: Timestamp,
    /// Current limits.
    pub limits: Limits,
    /// Last revision that was trimmed from the history; 0 if none was.
    pub trimmed: Revision,
    /// Last recovery of the cluster.
    pub epoch: Epoch,
    /// Current settings of the name servers.
    pub dns: DnsSettings,
}

impl Header {
    /// Returns the time of the next entry if it is decided at `now`. Time never decreases, unless
    /// an earlier leader with a wrong clock set it too far ahead.
    #[must_use]
    pub fn next_time(&self, now: Timestamp) -> Timestamp {
        if self.time.ahead_of(now).is_some() { now } else { self.time.max(now) }
    }
}

impl State {
    /// Returns the region of that name, custom or from the catalog.
    #[must_use]
    pub fn region(&self, name: &RegionName) -> Option<&Region> {
        self.regions.get(name).or_else(|| catalog::region(name))
    }

    /// Returns all regions of the catalog and all custom ones.
    pub fn all_regions(&self) -> impl Iterator<Item = &Region> {
        let built_in =
            catalog::regions().iter().filter(|region| !self.regions.contains_key(&region.name));
        built_in.chain(self.regions.values())
    }

    /// Returns the APIs of a service, sorted by name.
    pub fn apis_of<'a>(&'a self, service: &'a ServiceName) -> impl Iterator<Item = &'a Api> {
        let first = (service.clone(), ApiName::min());
        let from_first = self.apis.range(first..);
        from_first.take_while(move |((owner, _), _)| owner == service).map(|(_, api)| api)
    }

    /// Returns the units of a location, including draining ones.
    pub fn units_of<'a>(
        &'a self,
        service: &'a ServiceName,
        region: &'a RegionName,
    ) -> impl Iterator<Item = &'a Unit> {
        let unit = |slot| UnitId { service: service.clone(), region: region.clone(), slot };
        let first = (unit(0), Incarnation(0));
        let last = (unit(u16::MAX), Incarnation(u64::MAX));
        self.units.range(first..=last).map(|(_, unit)| unit)
    }

    /// Returns the units of a service in all regions, including draining ones.
    pub fn units_of_service<'a>(
        &'a self,
        service: &'a ServiceName,
    ) -> impl Iterator<Item = &'a Unit> {
        let unit = UnitId { service: service.clone(), region: RegionName::min(), slot: 0 };
        let from_first = self.units.range((unit, Incarnation(0))..).map(|(_, unit)| unit);
        from_first.take_while(move |unit| unit.id.service == *service)
    }

    /// Returns the units that count as capacity of a location: the newest assignment of each slot
    /// that is not draining. Older assignments only serve until it is ready.
    pub fn current_units<'a>(
        &'a self,
        service: &'a ServiceName,
        region: &'a RegionName,
    ) -> impl Iterator<Item = &'a Unit> {
        let wanted = self.units_of(service, region).filter(|unit| unit.is_wanted());
        newest_of_each_slot(wanted)
    }

    /// Returns the agents of a region that take units, by name.
    pub fn hosts_in<'a>(&'a self, region: &'a RegionName) -> impl Iterator<Item = &'a Agent> {
        let agents = self.agents.values().filter(|agent| agent.takes_units());
        agents.filter(move |agent| agent.description.region == *region)
    }

    /// Returns the units that are assigned to an agent, including draining ones.
    pub fn units_on<'a>(&'a self, agent: &'a AgentName) -> impl Iterator<Item = &'a Unit> {
        self.units.values().filter(move |unit| unit.agent == *agent)
    }
}

/// Returns the last unit of each slot. `units` must be sorted by slot and incarnation.
pub(crate) fn newest_of_each_slot<'a>(
    units: impl Iterator<Item = &'a Unit>,
) -> impl Iterator<Item = &'a Unit> {
    let mut units = units.peekable();
    std::iter::from_fn(move || {
        let mut newest = units.next()?;
        while let Some(newer) = units.next_if(|unit| unit.id.slot == newest.id.slot) {
            newest = newer;
        }
        Some(newest)
    })
}
