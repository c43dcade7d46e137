//! Faults of an agent's machine: its disk and its clock.

use std::time::Duration;

use meridian_testkit::history::{Record, Storage};
use tokio::time::sleep;

use super::{Begun, Injector};
use crate::chaos::effects;

/// How much longer a sync of a slow disk takes, and of one that is slower than an election.
const SLOW: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(500)];
/// How far a clock jumps.
const HOUR_MS: i64 = 3_600_000;

impl Injector {
    pub(super) async fn full_disk(
        &self,
        begun: &Begun,
        member: usize,
        lasts: Duration,
        restart: bool,
    ) -> anyhow::Result<()> {
        let disk = self.cluster.disk(member)?;
        disk.fill()?;
        let ended = effects::ended(&self.cluster, member).await?;
        if restart {
            self.cluster.revive(member)?;
        }
        sleep(lasts).await;
        disk.free()?;
        self.bit(begun, ended.map(|_| "the agent stopped when there was no room".to_owned()));
        self.cluster.revive(member)
    }

    pub(super) async fn slow_disk(
        &self,
        begun: &Begun,
        member: usize,
        lasts: Duration,
        slower: bool,
    ) -> anyhow::Result<()> {
        let machine = self.cluster.members[member].agent.machine()?;
        let (before, delay) = (machine.delayed()?, SLOW[usize::from(slower)]);
        machine.slow_down(delay)?;
        sleep(lasts).await;
        machine.mend()?;
        let syncs = machine.delayed()? - before;
        self.bit(begun, (syncs > 0).then(|| format!("{syncs} syncs took {delay:?} longer")));
        Ok(())
    }

    pub(super) async fn clock(
        &self,
        begun: &Begun,
        member: usize,
        lasts: Duration,
        back: bool,
    ) -> anyhow::Result<()> {
        let machine = self.cluster.members[member].agent.machine()?;
        let before = machine.misread()?;
        machine.shift_clock(if back { -HOUR_MS } else { HOUR_MS })?;
        sleep(lasts).await;
        machine.mend()?;
        let read = machine.misread()? - before;
        self.bit(begun, (read > 0).then(|| format!("the wrong time was read {read} times")));
        Ok(())
    }

    pub(super) async fn storage_error(
        &mut self,
        begun: &Begun,
        member: usize,
        lasts: Duration,
        lost: bool,
    ) -> anyhow::Result<()> {
        let cluster = self.cluster.clone();
        let machine = cluster.members[member].agent.machine()?;
        let node = effects::node_of(&cluster, member).await?;
        let before = machine.failed()?;
        machine.fail_once()?;
        let failed = effects::soon(|| Ok((machine.failed()? > before).then_some(()))).await?;
        if failed.is_some() {
            self.note_storage(member, false);
        }
        let ended = effects::ended(&cluster, member).await?;
        machine.mend()?;
        sleep(lasts).await;
        let evidence = failed.and(ended);
        self.bit(begun, evidence.map(|_| "a sync failed, and the agent stopped".to_owned()));
        self.note_storage(member, true);
        if !lost {
            return cluster.revive(member);
        }
        cluster.retire(member)?;
        cluster.wipe(member)?;
        self.rejoin(member, &node).await.map(drop)
    }

    fn note_storage(&self, member: usize, over: bool) {
        let (at, node) = (self.recorder.now(), self.cluster.members[member].name());
        self.recorder.append(&Record::Storage(Storage { at, node, over }));
    }
}
