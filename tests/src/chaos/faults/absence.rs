//! An agent that is absent while its units change.

use std::time::Duration;

use meridian_testkit::process::Process;
use tokio::time::sleep;

use super::{ActiveFault, Injector};
use crate::chaos::{clients, effects};

/// The service that is deleted during the absence.
const DELETED: &str = "deleted";
/// Number of units to which the region is scaled during the absence.
const UNITS: u32 = 3;

impl Injector {
    /// Kills an agent, and changes all its units before it restarts. Variant: their region is removed
    /// and added again as well.
    pub(super) async fn absence(
        &mut self,
        fault: &ActiveFault,
        member: usize,
        duration: Duration,
        removed: bool,
    ) -> anyhow::Result<()> {
        let (region, other) = (self.cluster.members[member].region, member + 1);
        self.retry_until_accepted(other, &clients::set_units(region, 1)).await?;
        self.retry_until_accepted(other, &clients::create(DELETED, region)).await?;
        let service = |unit: &Process| unit.unit().map(|unit| unit.service);
        let both_run = || {
            let units = self.cluster.units(member)?;
            let deleted = units.iter().filter_map(service).any(|service| service == DELETED);
            Ok((deleted && units.len() > 1).then_some(units))
        };
        let before = effects::poll_fast(both_run).await?.unwrap_or_default();
        self.cluster.kill(member)?;
        // Rejected if a client has removed the region.
        self.client.change(other, &clients::roll(region), super::ATTEMPTS).await?;
        self.retry_until_accepted(other, &clients::delete(DELETED)).await?;
        if removed {
            // Rejected for the primary region.
            self.client.change(other, &clients::remove_region(region), super::ATTEMPTS).await?;
        }
        sleep(duration).await;
        self.retry_until_accepted(other, &clients::set_units(region, UNITS)).await?;
        let kept = before.iter().filter(|unit| !unit.has_ended()).count();
        self.cluster.start_member(member)?;
        let all_ended = || Ok(before.iter().all(Process::has_ended).then_some(()));
        let ended = effects::poll_fast(all_ended).await?;
        let evidence = ended.filter(|()| kept > 0);
        let evidence = evidence.map(|()| format!("{kept} units kept running, then stopped"));
        self.record_effect(fault, evidence);
        Ok(())
    }
}
