//! Faults of an agent's disk and clock.

use std::time::Duration;

use meridian_testkit::history::{Record, Storage};
use tokio::time::sleep;

use super::{ActiveFault, Injector};
use crate::chaos::effects;

/// Additional latency of a sync: on a slow disk, and on one slower than an election.
const SLOW: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(500)];
/// Shift of the clock.
const HOUR_MS: i64 = 3_600_000;

impl Injector {
    pub(super) async fn full_disk(
        &self,
        fault: &ActiveFault,
        member: usize,
        duration: Duration,
        restart: bool,
    ) -> anyhow::Result<()> {
        let disk = self.cluster.disk(member)?;
        disk.fill()?;
        let exited = effects::exited(&self.cluster, member).await?;
        if restart {
            self.cluster.restart(member)?;
        }
        sleep(duration).await;
        disk.free()?;
        self.record_effect(
            fault,
            exited.map(|_| "the agent stopped when the disk was full".to_owned()),
        );
        self.cluster.restart(member)
    }

    pub(super) async fn slow_disk(
        &self,
        fault: &ActiveFault,
        member: usize,
        duration: Duration,
        slower: bool,
    ) -> anyhow::Result<()> {
        let machine = self.cluster.members[member].agent.machine()?;
        let (before, delay) = (machine.delayed_syncs()?, SLOW[usize::from(slower)]);
        machine.delay_syncs(delay)?;
        sleep(duration).await;
        machine.reset()?;
        let syncs = machine.delayed_syncs()? - before;
        self.record_effect(
            fault,
            (syncs > 0).then(|| format!("{syncs} syncs were delayed by {delay:?}")),
        );
        Ok(())
    }

    pub(super) async fn clock(
        &self,
        fault: &ActiveFault,
        member: usize,
        duration: Duration,
        backward: bool,
    ) -> anyhow::Result<()> {
        let machine = self.cluster.members[member].agent.machine()?;
        let before = machine.shifted_reads()?;
        machine.shift_clock(if backward { -HOUR_MS } else { HOUR_MS })?;
        sleep(duration).await;
        machine.reset()?;
        let read = machine.shifted_reads()? - before;
        self.record_effect(
            fault,
            (read > 0).then(|| format!("the shifted clock was read {read} times")),
        );
        Ok(())
    }

    pub(super) async fn storage_error(
        &mut self,
        fault: &ActiveFault,
        member: usize,
        duration: Duration,
        wipe: bool,
    ) -> anyhow::Result<()> {
        let cluster = self.cluster.clone();
        let machine = cluster.members[member].agent.machine()?;
        let node = effects::node_id(&cluster, member).await?;
        let before = machine.failed_syncs()?;
        machine.fail_next_sync()?;
        let failed =
            effects::poll_fast(|| Ok((machine.failed_syncs()? > before).then_some(()))).await?;
        if failed.is_some() {
            self.record_storage(member, false);
        }
        let exited = effects::exited(&cluster, member).await?;
        machine.reset()?;
        sleep(duration).await;
        let evidence = failed.and(exited);
        self.record_effect(
            fault,
            evidence.map(|_| "a sync failed and the agent stopped".to_owned()),
        );
        self.record_storage(member, true);
        if !wipe {
            return cluster.restart(member);
        }
        cluster.ensure_stopped(member)?;
        cluster.wipe(member)?;
        self.rejoin(member, &node).await.map(drop)
    }

    fn record_storage(&self, member: usize, over: bool) {
        let (at, node) = (self.recorder.now(), self.cluster.members[member].name());
        self.recorder.append(&Record::Storage(Storage { at, node, over }));
    }
}
