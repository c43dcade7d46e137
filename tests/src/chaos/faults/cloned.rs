//! A copy of a data directory that is started beside the original.

use meridian_testkit::process::Process;
use tokio::time::timeout;

use super::{ActiveFault, Injector};
use crate::chaos::effects;

/// Error of the copy.
const REFUSED: &str = "an older process runs as this node";

impl Injector {
    /// Copies the data directory of an agent, restarts the agent, and then starts another one on the
    /// copy, which must stop.
    pub(super) async fn clone_agent(
        &self,
        fault: &ActiveFault,
        member: usize,
    ) -> anyhow::Result<()> {
        let cluster = &self.cluster;
        cluster.kill(member)?;
        let copy = cluster.members[member].agent.copy()?;
        cluster.start_member(member)?;
        // The younger of both processes stops, and only once a member knows the older one.
        effects::caught_up(cluster).await?;
        let mut process = copy.start()?;
        let stopped = timeout(effects::EFFECT_TIMEOUT, process.wait()).await.is_ok();
        if !stopped {
            copy.kill()?;
        }
        let mut units = cluster.sandbox().processes()?;
        units.retain(|process| process.works_within(copy.home()));
        units.iter().try_for_each(Process::kill)?;
        let refused = stopped && copy.log().contains(REFUSED);
        // The copy may have announced its address, and the next one would look for members there.
        let address = effects::announced(cluster, member).await?;
        let evidence = address.filter(|_| refused).map(|address| {
            format!("the process on the copy stopped, and the log has the address {address}")
        });
        self.record_effect(fault, evidence);
        copy.remove()
    }
}
