//! Faults of the addresses of agents.

use std::net::SocketAddrV4;
use std::time::Duration;

use tokio::time::sleep;

use super::{ActiveFault, Injector};
use crate::chaos::effects;

/// Duration of a slow lookup: that of resolv.conf(5) if the first name server is down.
const SLOW_LOOKUP: Duration = Duration::from_secs(5);

impl Injector {
    /// Stops agents, and starts each at another peer address, on the same data directory.
    pub(super) async fn move_peers(
        &self,
        fault: &ActiveFault,
        affected: &[usize],
        duration: Duration,
    ) -> anyhow::Result<()> {
        let mut moved: Vec<(usize, SocketAddrV4)> = Vec::new();
        for member in affected {
            self.cluster.kill(*member)?;
            moved.push((*member, self.cluster.members[*member].agent.move_peer_port()?));
        }
        sleep(duration).await;
        affected.iter().try_for_each(|member| self.cluster.start_member(*member))?;
        self.record_effect(fault, effects::reached(&self.cluster, &moved).await);
        Ok(())
    }

    /// Restarts one agent or all while each lookup of a name is slow.
    pub(super) async fn slow_lookups(
        &self,
        fault: &ActiveFault,
        member: usize,
        all: bool,
    ) -> anyhow::Result<()> {
        let machines = self.cluster.members.iter().map(|member| member.agent.machine());
        let machines = machines.collect::<anyhow::Result<Vec<_>>>()?;
        let delayed = || -> anyhow::Result<i64> {
            machines.iter().map(|machine| machine.delayed_lookups()).sum()
        };
        let before = delayed()?;
        machines.iter().try_for_each(|machine| machine.delay_lookups(SLOW_LOOKUP))?;
        let affected = if all { self.all() } else { vec![member] };
        affected.iter().try_for_each(|member| self.cluster.kill(*member))?;
        affected.iter().try_for_each(|member| self.cluster.start_member(*member))?;
        let caught_up = effects::caught_up(&self.cluster).await?;
        machines.iter().try_for_each(|machine| machine.reset())?;
        let lookups = delayed()? - before;
        let evidence = caught_up.filter(|_| lookups > 0);
        let evidence = evidence.map(|index| {
            format!("all agents had applied entry {index} after {lookups} lookups of 5 s each")
        });
        self.record_effect(fault, evidence);
        Ok(())
    }
}
