//! The container of a unit, with as few privileges as possible.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::path::Path;

use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountType};
use meridian_domain::AgentName;

use super::labels;
use super::{EngineError, ImageName, NetworkName};
use crate::driver::run_directory::{Intent, MAX_LOG_BYTES};

/// Path of a unit's directory in its container.
pub const UNIT_DIRECTORY: &str = "/unit";

/// Timeout in seconds when an operator runs `docker stop`: the unit's drain timeout of 10 s, and a
/// reserve.
const STOP_SECONDS: i64 = 15;

/// Properties common to all containers of an agent.
#[derive(Debug)]
pub(super) struct ContainerTemplate {
    pub(super) image: ImageName,
    pub(super) network: NetworkName,
    pub(super) memory: Option<NonZeroU64>,
}

/// User and group of units: those of the agent, whose files they share.
pub(super) fn user() -> String {
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    format!("{}:{}", user.as_raw(), group.as_raw())
}

/// Name in `docker ps`. It identifies nothing, but must be unique on the engine.
pub(super) fn name(intent: &Intent) -> String {
    let unit = &intent.unit;
    format!(
        "meridian-{}-{}-{}-u{}-{:08x}",
        unit.service,
        unit.region,
        unit.slot,
        intent.incarnation,
        rand::random::<u32>()
    )
}

impl ContainerTemplate {
    /// Describes a container that can access only `directory` of the machine: it has no
    /// capabilities, cannot gain privileges, and can write nowhere else.
    pub(super) fn body(
        &self,
        intent: &Intent,
        agent: &AgentName,
        directory: &Path,
        user: String,
        log_driver: Option<&str>,
    ) -> Result<ContainerCreateBody, EngineError> {
        let source = directory
            .to_str()
            .ok_or_else(|| EngineError::NotText { directory: directory.to_owned() })?;
        let mount = Mount {
            typ: Some(MountType::BIND),
            source: Some(source.to_owned()),
            target: Some(UNIT_DIRECTORY.to_owned()),
            ..Mount::default()
        };
        let host = HostConfig {
            mounts: Some(vec![mount]),
            network_mode: Some(self.network.to_string()),
            cap_drop: Some(vec!["ALL".to_owned()]),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            readonly_rootfs: Some(true),
            log_config: log_config(log_driver),
            memory: self.memory.map(|bytes| i64::try_from(bytes.get()).unwrap_or(i64::MAX)),
            ..HostConfig::default()
        };
        Ok(ContainerCreateBody {
            image: Some(self.image.to_string()),
            cmd: Some(arguments(intent, agent)),
            working_dir: Some(UNIT_DIRECTORY.to_owned()),
            user: Some(user),
            labels: Some(labels::write(intent, agent)),
            stop_timeout: Some(STOP_SECONDS),
            host_config: Some(host),
            ..ContainerCreateBody::default()
        })
    }
}

/// Bounds the log of a container, if the log driver that the engine uses supports that.
fn log_config(driver: Option<&str>) -> Option<HostConfigLogConfig> {
    let driver = driver.filter(|driver| ["json-file", "local"].contains(driver))?;
    let options = [("max-size", MAX_LOG_BYTES.to_string()), ("max-file", "2".to_owned())];
    let config = options.map(|(name, value)| (name.to_owned(), value));
    Some(HostConfigLogConfig { typ: Some(driver.to_owned()), config: Some(HashMap::from(config)) })
}

/// Arguments after the image's entry point.
fn arguments(intent: &Intent, agent: &AgentName) -> Vec<String> {
    let unit = &intent.unit;
    let named = [
        ("--cluster", intent.cluster.to_string()),
        ("--agent", agent.to_string()),
        ("--service", unit.service.to_string()),
        ("--region", unit.region.to_string()),
        ("--slot", unit.slot.to_string()),
        ("--incarnation", intent.incarnation.to_string()),
        ("--generation", intent.generation.to_string()),
        ("--receive-listener", format!("u{}.listener", intent.incarnation)),
    ];
    let named = named.into_iter().flat_map(|(name, value)| [name.to_owned(), value]);
    std::iter::once("unit".to_owned()).chain(named).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_bounded_without_replacing_the_log_driver_of_the_engine() {
        for driver in ["json-file", "local"] {
            let config = log_config(Some(driver)).unwrap();
            assert_eq!(config.typ.as_deref(), Some(driver));
            assert_eq!(config.config.unwrap()["max-size"], "8388608");
        }
        assert_eq!(log_config(Some("journald")), None);
        assert_eq!(log_config(None), None);
    }
}
