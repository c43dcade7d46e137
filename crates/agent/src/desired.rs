//! The units that this agent should run, as of a revision.
//!
//! Stored in the file `desired` in the data directory, in the format of the module `checked_file`:
//!
//! ```text
//! {"version":1,"revision":R,"removed":false,"units":[
//!   {"unit":{"service":S,"region":R,"slot":N},"incarnation":I,"port":P,"wanted":true}],
//!  "configurations":{S:{"revision":C,"enabled":true,"redirect":{"host":H,"port":P},"apis":[
//!   {"name":A,"path":P,"backend":U,
//!    "timeouts":{"connect_ms":T,"response_ms":T,"idle_ms":T}}]}}}
//! ```
//!
//! - `revision` is the revision at which the set last changed. Later revisions that do not change
//!   it are not written.
//! - `wanted` is false for a unit that should drain.
//! - `configurations` holds what the units serve, so that an agent that restarts without a quorum
//!   can start units with their last configuration.
//! - `removed` is true once a majority has confirmed that the cluster removed this agent. It never
//!   becomes false again.
//!
//! A later, incompatible format raises `version`; this software then refuses to start.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use meridian_domain::{
    Configuration, Incarnation, NodeId, Revision, ServiceName, State, Unit, UnitId,
};
use serde::{Deserialize, Serialize};

use crate::checked_file::{self, ReadError, Version};
use crate::desired_store::DesiredStore;
use crate::driver::UnitSpec;

/// Time in which all name servers apply a change and a client resolves a name.
const RESOLUTION: Duration = Duration::from_secs(2);

/// Name of the file.
pub(crate) const NAME: &str = "desired";

/// The desired set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Desired {
    /// Revision as of which the log wants this set.
    pub(crate) revision: Revision,
    /// True if the cluster has removed this agent.
    pub(crate) removed: bool,
    /// Units by incarnation, including those that should drain.
    pub(crate) units: BTreeMap<Incarnation, DesiredUnit>,
    /// Configurations of the wanted units, by service. All are in this agent's region.
    pub(crate) configurations: BTreeMap<ServiceName, Arc<Configuration>>,
    /// Time for which a gateway that clients leave serves on; zero without a zone. Not stored.
    pub(crate) linger: Duration,
}

/// One unit of the desired set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DesiredUnit {
    pub(crate) unit: UnitId,
    pub(crate) incarnation: Incarnation,
    pub(crate) port: u16,
    /// True if the unit should run, false if it should drain.
    pub(crate) wanted: bool,
}

impl Desired {
    /// Returns the set that `state` assigns to the agent on `node`, under whatever name it is
    /// registered. Empty if it is not: a node that replaces one of the same name replays the history
    /// of its predecessor before its own.
    pub(crate) fn of(state: &State, node: NodeId) -> Self {
        let revision = state.header.revision;
        let mut agents = state.agents.values().map(|agent| &agent.description);
        let Some(agent) = agents.find(|agent| agent.node == node).map(|agent| &agent.name) else {
            return Self { revision, ..Self::default() };
        };
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
        Self { revision, removed: false, units, configurations, linger: linger(state) }
    }

    /// Returns the configuration that a unit should serve, or `None` if it should not run.
    pub(crate) fn configuration(&self, incarnation: Incarnation) -> Option<&Arc<Configuration>> {
        let unit = self.units.get(&incarnation).filter(|unit| unit.wanted)?;
        self.configurations.get(&unit.unit.service)
    }

    /// True if acting on `other` would lead to the same units and configurations.
    pub(crate) fn is_same_set(&self, other: &Self) -> bool {
        let of = |set: &Self| -> Vec<_> {
            set.units.values().map(|unit| (unit.incarnation, unit.port, unit.wanted)).collect()
        };
        self.removed == other.removed
            && of(self) == of(other)
            && self.configurations == other.configurations
    }

    /// Returns what the driver needs to start a unit of the set.
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

/// Returns the time within which clients have learned of a change by the names that they resolve: the time
/// to live, and [`RESOLUTION`].
fn linger(state: &State) -> Duration {
    let dns = &state.header.dns;
    let ttl = Duration::from_secs(dns.ttl_seconds.into());
    dns.zone.as_ref().map_or(Duration::ZERO, |_| ttl + RESOLUTION)
}

#[derive(Serialize, Deserialize)]
struct Stored {
    version: Version,
    revision: Revision,
    removed: bool,
    units: Vec<DesiredUnit>,
    configurations: BTreeMap<ServiceName, Arc<Configuration>>,
}

/// Loads the stored set; an empty set of revision 0 if none is stored.
pub(crate) fn load(store: &dyn DesiredStore) -> Result<Desired, ReadError> {
    let Some(bytes) = store.read()? else { return Ok(Desired::default()) };
    let stored: Stored = checked_file::decode(&bytes)?;
    let units = stored.units.into_iter().map(|unit| (unit.incarnation, unit)).collect();
    let Stored { revision, removed, configurations, .. } = stored;
    Ok(Desired { revision, removed, units, configurations, linger: Duration::ZERO })
}

/// Stores the set, and returns once it is durable.
pub(crate) async fn save(store: &dyn DesiredStore, desired: &Desired) -> io::Result<()> {
    let stored = Stored {
        version: Version,
        revision: desired.revision,
        removed: desired.removed,
        units: desired.units.values().cloned().collect(),
        configurations: desired.configurations.clone(),
    };
    store.replace(checked_file::encode(&stored)?).await
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use meridian_domain::api::Timeouts;
    use meridian_domain::configuration::ConfiguredApi;
    use meridian_domain::routing::RedirectTarget;
    use meridian_domain::{ApiName, ApiPath, BackendUrl, RegionName};

    use tempfile::TempDir;

    use super::*;
    use crate::desired_store::FileStore;

    fn file_store(directory: &TempDir) -> FileStore {
        FileStore { directory: directory.path().to_owned(), name: NAME }
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
        let host = "eastus.contoso.regional.example.org".to_owned();
        let served = Configuration {
            revision: Revision(6),
            enabled: false,
            redirect: Some(RedirectTarget { host, port: 8080 }),
            apis: vec![api],
        };
        Desired {
            revision: Revision(9),
            removed: false,
            units: [(Incarnation(7), unit)].into(),
            configurations: [(ServiceName::new("contoso").unwrap(), Arc::new(served))].into(),
            linger: Duration::ZERO,
        }
    }

    #[tokio::test]
    async fn the_stored_format_of_version_1_does_not_change() {
        let directory = tempfile::tempdir().unwrap();
        save(&file_store(&directory), &desired()).await.unwrap();
        let stored = std::fs::read_to_string(file_store(&directory).path()).unwrap();
        assert_eq!(
            stored,
            concat!(
                r#"7c05380a {"version":1,"revision":9,"removed":false,"units":[{"#,
                r#""unit":{"service":"contoso","region":"westeurope","slot":2},"#,
                r#""incarnation":7,"port":8080,"wanted":true}],"configurations":{"contoso":{"#,
                r#""revision":6,"enabled":false,"redirect":{"#,
                r#""host":"eastus.contoso.regional.example.org","port":8080},"#,
                r#""apis":[{"name":"orders","path":"/orders","#,
                r#""backend":"http://a","#,
                r#""timeouts":{"connect_ms":1,"response_ms":2,"idle_ms":3}}]}}}"#,
                "\n"
            )
        );
        assert_eq!(load(&file_store(&directory)).unwrap(), desired());
    }

    #[test]
    fn without_a_stored_set_no_unit_is_wanted() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(load(&file_store(&directory)).unwrap(), Desired::default());
    }

    #[tokio::test]
    async fn a_corrupt_or_newer_file_is_an_error_and_never_an_empty_set() {
        let directory = tempfile::tempdir().unwrap();
        save(&file_store(&directory), &desired()).await.unwrap();
        let stored = std::fs::read(file_store(&directory).path()).unwrap();
        for length in 0..stored.len() - 1 {
            std::fs::write(file_store(&directory).path(), &stored[..length]).unwrap();
            assert!(load(&file_store(&directory)).is_err(), "accepted the first {length} bytes");
        }
        let newer = r#"{"version":2,"units":{}}"#;
        let newer = format!("{:08x} {newer}\n", crc32fast::hash(newer.as_bytes()));
        std::fs::write(file_store(&directory).path(), newer).unwrap();
        assert!(matches!(load(&file_store(&directory)), Err(ReadError::Unsupported(_))));
    }

    #[tokio::test]
    async fn a_crash_before_the_rename_leaves_the_old_set() {
        let directory = tempfile::tempdir().unwrap();
        save(&file_store(&directory), &desired()).await.unwrap();
        std::fs::write(directory.path().join("desired.new"), "half of a newer file").unwrap();
        assert_eq!(load(&file_store(&directory)).unwrap(), desired());
    }

    #[test]
    fn sets_differ_only_in_units_configurations_and_removal() {
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
