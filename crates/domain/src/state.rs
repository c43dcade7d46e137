//! Everything that the log adds up to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::agent::Agent;
use crate::api::Api;
use crate::catalogue::{self, Region};
use crate::id::{ClusterId, DataVersion, Incarnation, Revision, Timestamp, UnitId};
use crate::limits::Limits;
use crate::name::{AgentName, ApiName, RegionName, ServiceName};
use crate::outcome::Outcomes;
use crate::service::Service;
use crate::unit::Unit;

/// The sum of the log up to [`Header::revision`]. Equal on every node that has applied the same
/// entries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The single values.
    pub header: Header,
    /// Every service.
    pub services: BTreeMap<ServiceName, Service>,
    /// Every API of every service.
    pub apis: BTreeMap<(ServiceName, ApiName), Api>,
    /// Every assignment of a unit that has not ended.
    pub units: BTreeMap<(UnitId, Incarnation), Unit>,
    /// Every agent.
    pub agents: BTreeMap<AgentName, Agent>,
    /// The regions that operators defined.
    pub regions: BTreeMap<RegionName, Region>,
    /// What became of operators' requests.
    pub outcomes: Outcomes,
}

/// The single values of a [`State`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The cluster, once it is founded.
    pub cluster: Option<ClusterId>,
    /// The newest version of events that may be written.
    pub data_version: DataVersion,
    /// The last event.
    pub revision: Revision,
    /// The time of the last entry.
    pub time: Timestamp,
    /// The limits in force.
    pub limits: Limits,
    /// The last event that was trimmed from the history; 0 where none was.
    pub trimmed: Revision,
}

impl State {
    /// The region of that name, from the catalogue or defined by an operator.
    #[must_use]
    pub fn region(&self, name: &RegionName) -> Option<&Region> {
        self.regions.get(name).or_else(|| catalogue::region(name))
    }

    /// Every region there is, operators' own among them.
    pub fn all_regions(&self) -> impl Iterator<Item = &Region> {
        let of_the_catalogue =
            catalogue::regions().iter().filter(|region| !self.regions.contains_key(&region.name));
        of_the_catalogue.chain(self.regions.values())
    }

    /// The APIs of a service, by name.
    pub fn apis_of<'a>(&'a self, service: &'a ServiceName) -> impl Iterator<Item = &'a Api> {
        let first = (service.clone(), ApiName::least());
        let behind = self.apis.range(first..);
        behind.take_while(move |((owner, _), _)| owner == service).map(|(_, api)| api)
    }

    /// The units of a location, those on their way out included.
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

    /// The units of a location that count as its capacity: of each slot the newest assignment that is
    /// wanted. Older ones only bridge the time until it is ready.
    pub fn current_units<'a>(
        &'a self,
        service: &'a ServiceName,
        region: &'a RegionName,
    ) -> impl Iterator<Item = &'a Unit> {
        let wanted = self.units_of(service, region).filter(|unit| unit.is_wanted());
        newest_of_each_slot(wanted)
    }

    /// How many slots of a location have a unit that answers calls.
    #[must_use]
    pub fn ready_units(&self, service: &ServiceName, region: &RegionName) -> u32 {
        let ready = self.units_of(service, region).filter(|unit| unit.is_ready());
        u32::try_from(newest_of_each_slot(ready).count()).unwrap_or(u32::MAX)
    }

    /// The units that an agent is to run or to drain.
    pub fn units_on<'a>(&'a self, agent: &'a AgentName) -> impl Iterator<Item = &'a Unit> {
        self.units.values().filter(move |unit| unit.agent == *agent)
    }
}

/// Of units in the order of their slots and incarnations, the last of each slot.
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
