//! Faults of the processes of an agent's units.

use std::time::Duration;

use meridian_testkit::history::{Bystander, Record};
use tokio::time::sleep;

use super::{ActiveFault, Injector};
use crate::chaos::pid_squatter::{self, PidSquatter};
use crate::chaos::{clients, effects};

/// Maximum attempts to kill an agent before it reports a started process.
const ATTEMPTS: usize = 5;

/// Attempts to reuse the process id of a unit.
const PID_REUSE_ATTEMPTS: usize = 3;

impl Injector {
    pub(super) fn unit(&self, fault: &ActiveFault, member: usize) -> anyhow::Result<()> {
        let evidence = self.cluster.serving_units(member)?.first().map(|unit| {
            unit.kill()?;
            anyhow::Ok(format!("process {} was killed", unit.pid()))
        });
        self.record_effect(fault, evidence.transpose()?);
        Ok(())
    }

    /// Stops a unit process, which never continues: its agent must report it, kill it and start
    /// another one. Variant: the agent restarts meanwhile, and adopts the hung process.
    pub(super) async fn hang(
        &self,
        fault: &ActiveFault,
        member: usize,
        restart: bool,
    ) -> anyhow::Result<()> {
        let Some(unit) = self.cluster.serving_units(member)?.into_iter().next() else {
            eprintln!("             skipped: its region was removed meanwhile");
            return Ok(());
        };
        unit.freeze();
        if restart {
            self.cluster.kill(member)?;
            self.cluster.start_member(member)?;
        }
        let evidence = effects::reported(&self.cluster, &unit).await;
        self.record_effect(fault, evidence);
        Ok(())
    }

    /// Kills an agent right after it started a process: the replacement of a killed unit, or an
    /// additional unit.
    pub(super) async fn spawn(
        &mut self,
        fault: &ActiveFault,
        member: usize,
        duration: Duration,
        additional: bool,
    ) -> anyhow::Result<()> {
        let mut evidence = None;
        for _ in 0..ATTEMPTS {
            let units = self.cluster.serving_units(member)?;
            let known: Vec<u32> = units.iter().map(|unit| unit.pid()).collect();
            if additional || units.is_empty() {
                let more = u32::try_from(units.len())? + 1;
                let region = self.cluster.members[member].region;
                self.retry_until_accepted(member, &clients::set_units(region, more)).await?;
            } else {
                units[0].kill()?;
            }
            let cluster = self.cluster.clone();
            let fresh = || {
                let units = cluster.serving_units(member)?;
                Ok(units.iter().map(|it| it.pid()).find(|pid| !known.contains(pid)))
            };
            let Some(pid) = effects::poll_fast(fresh).await? else { continue };
            self.cluster.kill(member)?;
            evidence = effects::unreported(&self.cluster, member, pid).await?;
            if evidence.is_some() {
                break;
            }
            self.cluster.start_member(member)?;
            effects::member_with_unit(&self.cluster, member).await?;
        }
        sleep(duration).await;
        self.cluster.restart(member)?;
        self.record_effect(fault, evidence);
        Ok(())
    }

    /// Kills an agent and one of its units, and lets another program take the unit's process id
    /// before the agent restarts.
    pub(super) async fn pid_reuse(
        &mut self,
        fault: &ActiveFault,
        member: usize,
        duration: Duration,
    ) -> anyhow::Result<()> {
        // A client may release the unit meanwhile, so that nothing replaces it.
        for _ in 0..PID_REUSE_ATTEMPTS {
            if let Some(evidence) = self.reuse_pid(member, duration).await? {
                self.record_effect(fault, Some(evidence));
                return Ok(());
            }
            effects::member_with_unit(&self.cluster, member).await?;
        }
        self.record_effect(fault, None);
        Ok(())
    }

    /// Kills an agent and one of its units, whose process id another program takes. Returns evidence
    /// that the unit was replaced.
    async fn reuse_pid(
        &mut self,
        member: usize,
        duration: Duration,
    ) -> anyhow::Result<Option<String>> {
        self.cluster.kill(member)?;
        let Some(unit) = self.cluster.serving_units(member)?.into_iter().next() else {
            eprintln!("             skipped: its region was removed meanwhile");
            self.cluster.start_member(member)?;
            return Ok(None);
        };
        unit.kill()?;
        let (pid, was) = (unit.pid(), unit.unit());
        effects::poll_fast(|| Ok((!pid_squatter::exists(pid)).then_some(()))).await?;
        let squatter = PidSquatter::with(pid)?;
        self.cluster.start_member(member)?;
        let Some(mut squatter) = squatter else {
            eprintln!("             skipped: process id {pid} is in use");
            return Ok(None);
        };
        let same_unit = |it: &meridian_testkit::process::UnitProcess| {
            was.as_ref()
                .is_some_and(|was| (&it.service, it.incarnation) == (&was.service, was.incarnation))
        };
        let replaced = || {
            let units = self.cluster.serving_units(member)?;
            Ok(units.iter().filter_map(|it| it.unit()).find(same_unit).map(|it| it.pid))
        };
        let replaced = effects::poll_fast(replaced).await?;
        sleep(duration).await;
        let harm = squatter.harm()?;
        let (at, node) = (self.recorder.now(), self.cluster.members[member].name());
        self.recorder.append(&Record::Bystander(Bystander { at, node, pid, harm }));
        Ok(replaced.map(|now| format!("process {now} replaced process {pid} of a unit")))
    }
}
