//! The end of a whole region: its agent and its units.

use anyhow::Context as _;

use super::{ActiveFault, Injector};
use crate::chaos::effects;

impl Injector {
    /// Kills an agent and its units, until its gateways are lost. Variant: pauses them, so that
    /// they accept connections and never respond.
    pub(super) async fn outage(
        &self,
        fault: &ActiveFault,
        member: usize,
        pause: bool,
    ) -> anyhow::Result<()> {
        let cluster = &self.cluster;
        let agent = cluster.members[member].agent.process()?.context("the agent is not running")?;
        let units = cluster.serving_units(member)?;
        if pause {
            agent.freeze();
            units.iter().for_each(|unit| unit.freeze());
        } else {
            cluster.kill(member)?;
            units.iter().try_for_each(|unit| unit.kill())?;
        }
        let evidence = effects::offline(cluster, member).await;
        if pause {
            units.iter().for_each(|unit| unit.thaw());
            agent.thaw();
        } else {
            cluster.start_member(member)?;
        }
        self.record_effect(fault, evidence);
        Ok(())
    }
}
