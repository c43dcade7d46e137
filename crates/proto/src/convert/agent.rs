//! Registration of an agent.

use meridian_domain::{AgentDescription, ClusterId, DataVersion, Epoch};
use uuid::Uuid;

use super::edit::optional;
use super::{Checks, Violations, field};
use crate::v1;

/// Registration of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Description of the agent.
    pub description: AgentDescription,
    /// Cluster that the agent already belongs to; `None` for one that joins.
    pub cluster: Option<ClusterId>,
    /// Epoch of that cluster, as the agent knows it.
    pub epoch: Epoch,
}

impl TryFrom<&v1::RegisterAgentRequest> for Registration {
    type Error = Violations;

    fn try_from(given: &v1::RegisterAgentRequest) -> Result<Self, Violations> {
        let mut checks = Checks::default();
        let registration = registration(&mut checks, given);
        checks.finish(registration)
    }
}

fn registration(checks: &mut Checks, given: &v1::RegisterAgentRequest) -> Option<Registration> {
    let name = field::agent(checks, "name", &given.name);
    let node = field::node(checks, "node", &given.node);
    let region = field::region(checks, "region", &given.region);
    let zone = optional(given.zone.map(|zone| field::zone(checks, "zone", zone)));
    let client_address = field::address(checks, "client_address", &given.client_address);
    let peer_address = field::address(checks, "peer_address", &given.peer_address);
    let gateway_host = field::host(checks, "gateway_host", &given.gateway_host);
    let supports = Some(given.supports).filter(|version| *version > 0);
    let supports = checks.take("supports", supports.ok_or("must be a data version, at least 1"));
    let cluster = Some(given.cluster_id.as_str()).filter(|id| !id.is_empty());
    let cluster = cluster.map(|id| {
        let problem = "must be a UUID";
        checks.take("cluster_id", Uuid::try_parse(id).map_err(|_| problem))
    });
    let cluster = optional(cluster);
    Some(Registration {
        description: AgentDescription {
            name: name?,
            node: node?,
            region: region?,
            zone: zone?,
            witness: given.witness,
            client_address: client_address?,
            peer_address: peer_address?,
            gateway_host: gateway_host?,
            supports: DataVersion(supports?),
        },
        cluster: cluster?.map(ClusterId),
        epoch: Epoch(given.epoch),
    })
}
