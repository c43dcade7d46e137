//! Labels of a container: they identify its agent and its unit.

use std::collections::HashMap;
use std::str::FromStr;

use meridian_domain::{
    AgentName, ClusterId, Generation, Incarnation, RegionName, ServiceName, UnitId,
};

use crate::driver::run_directory::{DriverKind, Intent};

const CLUSTER: &str = "meridian.cluster";
const AGENT: &str = "meridian.agent";
const SERVICE: &str = "meridian.service";
const REGION: &str = "meridian.region";
const SLOT: &str = "meridian.slot";
const INCARNATION: &str = "meridian.incarnation";
const ADDRESS: &str = "meridian.address";

/// Missing or invalid labels.
#[derive(Debug, thiserror::Error)]
pub(super) enum LabelError {
    #[error("missing label {0}")]
    Missing(&'static str),
    #[error("invalid value {value:?} of label {name}")]
    Invalid { name: &'static str, value: String },
}

/// Returns the labels of a unit's container. All values are validated names, numbers and addresses.
pub(super) fn write(intent: &Intent, agent: &AgentName) -> HashMap<String, String> {
    let unit = &intent.unit;
    let labels = [
        (CLUSTER, intent.cluster.to_string()),
        (AGENT, agent.to_string()),
        (SERVICE, unit.service.to_string()),
        (REGION, unit.region.to_string()),
        (SLOT, unit.slot.to_string()),
        (INCARNATION, intent.incarnation.to_string()),
        (ADDRESS, intent.address.to_string()),
    ];
    labels.map(|(name, value)| (name.to_owned(), value)).into()
}

/// Returns filters that match the containers of an agent.
pub(super) fn filters(cluster: ClusterId, agent: &AgentName) -> Vec<String> {
    vec![format!("{CLUSTER}={cluster}"), format!("{AGENT}={agent}")]
}

/// Reads the intent from the labels of a container, for an agent of `generation`.
pub(super) fn read(
    labels: &HashMap<String, String>,
    generation: Generation,
) -> Result<Intent, LabelError> {
    Ok(Intent {
        version: 1,
        cluster: ClusterId(value(labels, CLUSTER)?),
        unit: UnitId {
            service: value::<ServiceName>(labels, SERVICE)?,
            region: value::<RegionName>(labels, REGION)?,
            slot: value(labels, SLOT)?,
        },
        incarnation: Incarnation(value(labels, INCARNATION)?),
        generation,
        address: value(labels, ADDRESS)?,
        driver: DriverKind::Docker,
    })
}

fn value<T: FromStr>(
    labels: &HashMap<String, String>,
    name: &'static str,
) -> Result<T, LabelError> {
    let value = labels.get(name).ok_or(LabelError::Missing(name))?;
    value.parse().map_err(|_| LabelError::Invalid { name, value: value.clone() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;

    fn intent() -> Intent {
        Intent {
            version: 1,
            cluster: ClusterId(uuid::Uuid::nil()),
            unit: UnitId {
                service: "contoso".parse().unwrap(),
                region: "westeurope".parse().unwrap(),
                slot: 2,
            },
            incarnation: Incarnation(7),
            generation: Generation(3),
            address: "127.0.1.1:8080".parse().unwrap(),
            driver: DriverKind::Docker,
        }
    }

    #[test]
    fn labels_identify_the_unit() {
        let labels = write(&intent(), &"we-1".parse().unwrap());
        assert_eq!(read(&labels, Generation(3)).unwrap(), intent());
    }

    #[test]
    fn missing_and_invalid_labels_are_errors() {
        let labels = write(&intent(), &"we-1".parse().unwrap());
        let with = |name: &str, value: &str| {
            let mut labels = labels.clone();
            labels.insert(name.to_owned(), value.to_owned());
            read(&labels, Generation(3)).unwrap_err().to_string()
        };
        assert_eq!(
            with(SERVICE, "../../etc"),
            "invalid value \"../../etc\" of label meridian.service"
        );
        assert_eq!(with(INCARNATION, "-7"), "invalid value \"-7\" of label meridian.incarnation");
        let mut labels = labels.clone();
        labels.remove(SLOT);
        assert_eq!(
            read(&labels, Generation(3)).unwrap_err().to_string(),
            "missing label meridian.slot"
        );
    }
}
