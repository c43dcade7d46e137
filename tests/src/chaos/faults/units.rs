//! Faults around the processes of an agent's units.

use std::time::Duration;

use meridian_testkit::history::{Bystander, Record};
use tokio::time::sleep;

use super::{Begun, Injector};
use crate::chaos::innocent::{self, Innocent};
use crate::chaos::{clients, effects};

/// How often an agent is killed until that came before the record of what it had started.
const ATTEMPTS: usize = 5;

impl Injector {
    pub(super) fn unit(&self, begun: &Begun, member: usize) -> anyhow::Result<()> {
        let evidence = self.cluster.units(member)?.first().map(|unit| {
            unit.kill()?;
            anyhow::Ok(format!("process {} ended", unit.pid()))
        });
        self.bit(begun, evidence.transpose()?);
        Ok(())
    }

    /// Kills an agent right after it has started a process: a unit that was killed, or a further one.
    pub(super) async fn spawn(
        &mut self,
        begun: &Begun,
        member: usize,
        lasts: Duration,
        further: bool,
    ) -> anyhow::Result<()> {
        let mut evidence = None;
        for _ in 0..ATTEMPTS {
            let units = self.cluster.units(member)?;
            let known: Vec<u32> = units.iter().map(|unit| unit.pid()).collect();
            if further || units.is_empty() {
                let more = u32::try_from(units.len())? + 1;
                let region = self.cluster.members[member].region;
                self.insist(member, &clients::place(region, more)).await?;
            } else {
                units[0].kill()?;
            }
            let cluster = self.cluster.clone();
            let fresh = || {
                let units = cluster.units(member)?;
                Ok(units.iter().map(|it| it.pid()).find(|pid| !known.contains(pid)))
            };
            let Some(pid) = effects::soon(fresh).await? else { continue };
            self.cluster.kill(member)?;
            evidence = effects::unrecorded(&self.cluster, member, pid).await?;
            if evidence.is_some() {
                break;
            }
            self.cluster.start_member(member)?;
            effects::with_unit(&self.cluster, member).await?;
        }
        sleep(lasts).await;
        self.cluster.revive(member)?;
        self.bit(begun, evidence);
        Ok(())
    }

    /// Has another program take the process id of a unit, which the agent did not see end.
    pub(super) async fn pid_reuse(
        &mut self,
        begun: &Begun,
        member: usize,
        lasts: Duration,
    ) -> anyhow::Result<()> {
        self.cluster.kill(member)?;
        let Some(unit) = self.cluster.units(member)?.into_iter().next() else {
            eprintln!("             its region was removed meanwhile");
            return self.cluster.start_member(member);
        };
        unit.kill()?;
        let (pid, was) = (unit.pid(), unit.unit());
        effects::soon(|| Ok((!innocent::exists(pid)).then_some(()))).await?;
        let innocent = Innocent::with(pid)?;
        self.cluster.start_member(member)?;
        let Some(mut innocent) = innocent else {
            eprintln!("             process id {pid} is taken");
            return Ok(());
        };
        let like = |it: &meridian_testkit::process::UnitProcess| {
            was.as_ref()
                .is_some_and(|was| (&it.service, it.incarnation) == (&was.service, was.incarnation))
        };
        let replaced = || {
            let units = self.cluster.units(member)?;
            Ok(units.iter().filter_map(|it| it.unit()).find(like).map(|it| it.pid))
        };
        let replaced = effects::soon(replaced).await?;
        sleep(lasts).await;
        let harm = innocent.harm()?;
        let (at, node) = (self.recorder.now(), self.cluster.members[member].name());
        self.recorder.append(&Record::Bystander(Bystander { at, node, pid, harm }));
        let evidence = replaced.map(|now| format!("process {pid} was a unit, which is {now} now"));
        self.bit(begun, evidence);
        Ok(())
    }
}
