//! A disk that hangs.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{ActiveFault, Injector};
use crate::chaos::effects;

/// Additional latency of a sync: longer than the age at which an agent of the `lan` profile counts
/// its disk as stalled, 5 s.
const HANG: Duration = Duration::from_secs(20);

impl Injector {
    /// Delays the syncs of the leader until another agent leads. Variant: the agent is killed while
    /// its disk hangs.
    pub(super) async fn hanging_disk(
        &self,
        fault: &ActiveFault,
        member: usize,
        duration: Duration,
        restart: bool,
    ) -> anyhow::Result<()> {
        let machine = self.cluster.members[member].agent.machine()?;
        let (before, began) = (machine.delayed_syncs()?, Instant::now());
        machine.delay_syncs(HANG)?;
        let leader = effects::other_leader(&self.cluster, member).await;
        let took = began.elapsed();
        sleep_until(began + duration).await;
        if restart {
            self.cluster.kill(member)?;
        }
        machine.reset()?;
        if restart {
            self.cluster.start_member(member)?;
        }
        let syncs = machine.delayed_syncs()? - before;
        let evidence = leader.filter(|_| syncs > 0).map(|leader| {
            let name = self.cluster.members[leader].name();
            format!("{name} led {took:.1?} after the first of {syncs} syncs began to hang")
        });
        self.record_effect(fault, evidence);
        Ok(())
    }
}
