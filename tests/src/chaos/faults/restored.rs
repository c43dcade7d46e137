//! A data directory that is restored from an older copy.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;
use meridian_testkit::process::{Process, copy_directory};

use super::{ActiveFault, Injector};
use crate::chaos::cluster::empty;
use crate::chaos::{clients, effects};

/// Name of the copy, next to the data directory.
const COPY: &str = "data.copy";

impl Injector {
    /// Copies the data directory of an agent, and restores the copy after changes were made that it
    /// lacks. Variant: after another restart of the agent as well.
    ///
    /// The units of the agent are killed, as on a machine that is restored as a whole.
    pub(super) async fn restore(
        &mut self,
        fault: &ActiveFault,
        member: usize,
        duration: Duration,
        restarted: bool,
    ) -> anyhow::Result<()> {
        let cluster = self.cluster.clone();
        let agent = &cluster.members[member].agent;
        let copy = agent.home().join(COPY);
        cluster.kill(member)?;
        copy_directory(&agent.data(), &copy).context("cannot copy the data directory")?;
        cluster.start_member(member)?;
        let region = cluster.members[member].region;
        self.retry_until_accepted(member, &clients::set_units(region, 1)).await?;
        self.wait(member, duration, restarted).await?;
        // Without this agent, every entry must be on a majority of the others.
        let all = effects::caught_up(&cluster).await?;
        cluster.kill(member)?;
        cluster.units(member)?.iter().try_for_each(Process::kill)?;
        empty(&agent.data()).context("cannot empty the data directory")?;
        copy_directory(&copy, &agent.data()).context("cannot restore the data directory")?;
        fs::remove_dir_all(&copy)?;
        cluster.start_member(member)?;
        let evidence = match all {
            Some(index) => effects::applied(&cluster, member, index).await?,
            None => None,
        };
        self.record_effect(fault, evidence);
        Ok(())
    }
}
