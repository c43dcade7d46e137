//! The units that this agent is to have, and the revision as of which that is so.
//!
//! File `desired` in the data directory, in the form that the module `durable` describes:
//!
//! ```text
//! {"version":1,"revision":R,"removed":false,"units":[
//!   {"unit":{"service":S,"region":R,"slot":N},"incarnation":I,"port":P,"wanted":true}],
//!  "configurations":{S:{"revision":C,"enabled":true,"apis":[{"name":A,"path":P,"backend":U,
//!   "timeouts":{"connect_ms":T,"response_ms":T,"idle_ms":T}}]}}}
//! ```
//!
//! `revision` is that at which the set became this one; later ones that left it alone are not
//! written. What units serve is stored with them: an agent that comes back without a quorum has them
//! serve what they served. `wanted` is false for a unit that is to drain. `removed` is true once the cluster has
//! confirmed that it removed this agent, which is for ever. A later version that cannot be read by
//! this one raises `version`; this one then refuses to start.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use meridian_domain::{
    AgentName, Configuration, Incarnation, Revision, ServiceName, State, Unit, UnitId,
};
use serde::{Deserialize, Serialize};

use crate::driver::UnitSpec;
use crate::durable::{self, ReadError, Version};
use crate::keep::Keep;

/// The name of the file.
pub(crate) const NAME: &str = "desired";

/// The set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Desired {
    /// The revision as of which the log wants this.
    pub(crate) revision: Revision,
    /// The cluster has removed this agent.
    pub(crate) removed: bool,
    /// By assignment, those that are to drain included.
    pub(crate) units: BTreeMap<Incarnation, DesiredUnit>,
    /// What the units that are to run serve, by service: all are in this agent's region.
    pub(crate) configurations: BTreeMap<ServiceName, Arc<Configuration>>,
}

/// One unit of the set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DesiredUnit {
    pub(crate) unit: UnitId,
    pub(crate) incarnation: Incarnation,
    pub(crate) port: u16,
    /// Whether it is to run; it is to drain otherwise.
    pub(crate) wanted: bool,
}

impl Desired {
    /// What `state` wants of `agent`.
    pub(crate) fn of(state: &State, agent: &AgentName) -> Self {
        let desired = |unit: &Unit| DesiredUnit {
            unit: unit.id.clone(),
            incarnation: unit.incarnation,
            port: unit.port,
            wanted: unit.is_wanted(),
        };
        let units = state.units_on(agent).map(|unit| (unit.incarnation, desired(unit))).collect();
        let mut configurations = BTreeMap::new();
        for UnitId { service, region, .. } in
            state.units_on(agent).filter(|unit| unit.is_wanted()).map(|unit| &unit.id)
        {
            let configuration = || Arc::new(Configuration::of(state, service, region));
            configurations.entry(service.clone()).or_insert_with(configuration);
        }
        Self { revision: state.header.revision, removed: false, units, configurations }
    }

    /// What a unit of the set is to serve, if it is to run.
    pub(crate) fn configuration(&self, incarnation: Incarnation) -> Option<&Arc<Configuration>> {
        let unit = self.units.get(&incarnation).filter(|unit| unit.wanted)?;
        self.configurations.get(&unit.unit.service)
    }

    /// Whether acting on `other` would lead to the same units.
    pub(crate) fn is_same_set(&self, other: &Self) -> bool {
        let of = |set: &Self| -> Vec<_> {
            set.units.values().map(|unit| (unit.incarnation, unit.port, unit.wanted)).collect()
        };
        self.removed == other.removed
            && of(self) == of(other)
            && self.configurations == other.configurations
    }

    /// What the driver is told to run for a unit of the set.
    pub(crate) fn spec(&self, unit: &DesiredUnit) -> UnitSpec {
        let configuration = self.configurations.get(&unit.unit.service);
        UnitSpec {
            unit: unit.unit.clone(),
            incarnation: unit.incarnation,
            port: unit.port,
            configuration: configuration.cloned().unwrap_or_default(),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    version: Version,
    revision: Revision,
    removed: bool,
    units: Vec<DesiredUnit>,
    configurations: BTreeMap<ServiceName, Arc<Configuration>>,
}

/// The set that is kept; an empty one of revision 0 where there is none.
pub(crate) fn load(kept: &dyn Keep) -> Result<Desired, ReadError> {
    let Some(bytes) = kept.read()? else { return Ok(Desired::default()) };
    let stored: Stored = durable::decode(&bytes)?;
    let units = stored.units.into_iter().map(|unit| (unit.incarnation, unit)).collect();
    let Stored { revision, removed, configurations, .. } = stored;
    Ok(Desired { revision, removed, units, configurations })
}

/// Stores the set, and returns once it is durable.
pub(crate) async fn store(kept: &dyn Keep, desired: &Desired) -> io::Result<()> {
    let stored = Stored {
        version: Version,
        revision: desired.revision,
        removed: desired.removed,
        units: desired.units.values().cloned().collect(),
        configurations: desired.configurations.clone(),
    };
    kept.replace(durable::encode(&stored)?).await
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use meridian_domain::api::Timeouts;
    use meridian_domain::configuration::ConfiguredApi;
    use meridian_domain::{ApiName, ApiPath, BackendUrl, RegionName};

    use tempfile::TempDir;

    use super::*;
    use crate::keep::KeptFile;

    fn kept(directory: &TempDir) -> KeptFile {
        KeptFile { directory: directory.path().to_owned(), name: NAME }
    }

    fn desired() -> Desired {
        let unit = DesiredUnit {
            unit: UnitId {
                service: ServiceName::new("contoso").unwrap(),
                region: RegionName::new("westeurope").unwrap(),
                slot: 2,
            },
            incarnation: Incarnation(7),
            port: 8080,
            wanted: true,
        };
        let api = ConfiguredApi {
            name: ApiName::new("orders").unwrap(),
            path: ApiPath::new("/orders").unwrap(),
            backend: BackendUrl::new("http://a").unwrap(),
            timeouts: Timeouts { connect_ms: 1, response_ms: 2, idle_ms: 3 },
        };
        let served = Configuration { revision: Revision(6), enabled: true, apis: vec![api] };
        Desired {
            revision: Revision(9),
            removed: false,
            units: [(Incarnation(7), unit)].into(),
            configurations: [(ServiceName::new("contoso").unwrap(), Arc::new(served))].into(),
        }
    }

    #[tokio::test]
    async fn the_stored_form_of_version_1_stays() {
        let directory = tempfile::tempdir().unwrap();
        store(&kept(&directory), &desired()).await.unwrap();
        let stored = std::fs::read_to_string(kept(&directory).path()).unwrap();
        assert_eq!(
            stored,
            concat!(
                r#"3905c03a {"version":1,"revision":9,"removed":false,"units":[{"#,
                r#""unit":{"service":"contoso","region":"westeurope","slot":2},"#,
                r#""incarnation":7,"port":8080,"wanted":true}],"configurations":{"contoso":{"#,
                r#""revision":6,"enabled":true,"apis":[{"name":"orders","path":"/orders","#,
                r#""backend":"http://a","#,
                r#""timeouts":{"connect_ms":1,"response_ms":2,"idle_ms":3}}]}}}"#,
                "\n"
            )
        );
        assert_eq!(load(&kept(&directory)).unwrap(), desired());
    }

    #[test]
    fn where_nothing_was_stored_nothing_is_wanted() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(load(&kept(&directory)).unwrap(), Desired::default());
    }

    #[tokio::test]
    async fn a_damaged_or_newer_file_is_an_error_and_never_an_empty_set() {
        let directory = tempfile::tempdir().unwrap();
        store(&kept(&directory), &desired()).await.unwrap();
        let stored = std::fs::read(kept(&directory).path()).unwrap();
        for length in 0..stored.len() - 1 {
            std::fs::write(kept(&directory).path(), &stored[..length]).unwrap();
            assert!(load(&kept(&directory)).is_err(), "{length} bytes were believed");
        }
        let newer = r#"{"version":2,"units":{}}"#;
        let newer = format!("{:08x} {newer}\n", crc32fast::hash(newer.as_bytes()));
        std::fs::write(kept(&directory).path(), newer).unwrap();
        assert!(matches!(load(&kept(&directory)), Err(ReadError::Unknown(_))));
    }

    #[tokio::test]
    async fn a_crash_before_the_file_is_replaced_leaves_the_old_one() {
        let directory = tempfile::tempdir().unwrap();
        store(&kept(&directory), &desired()).await.unwrap();
        std::fs::write(directory.path().join("desired.new"), "half of a newer").unwrap();
        assert_eq!(load(&kept(&directory)).unwrap(), desired());
    }

    #[test]
    fn only_what_changes_the_units_makes_another_set() {
        let of = |change: &dyn Fn(&mut Desired, &mut DesiredUnit)| {
            let mut other = desired();
            let mut unit = other.units.remove(&Incarnation(7)).unwrap();
            change(&mut other, &mut unit);
            other.units.insert(unit.incarnation, unit);
            desired().is_same_set(&other)
        };
        assert!(of(&|set, _| set.revision = Revision(10)));
        assert!(!of(&|set, _| set.configurations.clear()));
        assert!(!of(&|set, _| set.removed = true));
        assert!(!of(&|_, unit| unit.wanted = false));
        assert!(!of(&|_, unit| unit.incarnation = Incarnation(8)));
    }
}
