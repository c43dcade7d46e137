//! What a unit's container is like: as little as a unit needs.

use std::num::NonZeroU64;
use std::path::Path;

use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType};
use meridian_domain::AgentName;

use super::labels;
use super::{EngineError, ImageName, NetworkName};
use crate::driver::run_directory::Intent;

/// Where a unit's directory is in its container.
pub const UNIT_DIRECTORY: &str = "/unit";

/// Seconds that `docker stop` gives a unit, where a person stops it so: its own ten, and some.
const STOP_SECONDS: i64 = 15;

/// What all units of an agent are run with.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) image: ImageName,
    pub(super) network: NetworkName,
    pub(super) memory: Option<NonZeroU64>,
}

/// As whom units run: as their agent, whose files they share.
pub(super) fn user() -> String {
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    format!("{}:{}", user.as_raw(), group.as_raw())
}

/// What people see in `docker ps`. It identifies nothing, but has to be unique on the engine.
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

impl Plan {
    /// A container that has `directory` and nothing else of the machine: no capability, no way to
    /// become anybody else, nothing to write but that.
    pub(super) fn body(
        &self,
        intent: &Intent,
        agent: &AgentName,
        directory: &Path,
        user: String,
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

/// What follows the image's entry point.
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
