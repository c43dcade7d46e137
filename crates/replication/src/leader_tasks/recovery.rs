//! Recording of a recovery of the cluster on this node.

use meridian_domain::{Command, RequestId};
use meridian_ports::Requester;
use meridian_storage::disk::epoch::Recovery;
use uuid::Uuid;

use super::LeaderTasks;

impl LeaderTasks {
    /// Proposes that the cluster was recovered, in the name of the operator, if this node started an
    /// epoch that the replicated state does not have. The membership changes only afterwards, so no
    /// other node can lead before the recovery is recorded.
    pub(super) async fn record_recovery(&self) -> Result<(), String> {
        let epoch = self.epoch.epoch;
        let recorded = self.store.state().header.epoch;
        let Some(Recovery { actor, reason, .. }) = &self.epoch.recovery else { return Ok(()) };
        if epoch <= recorded {
            return Ok(());
        }
        let request = RequestId::try_from(Uuid::now_v7()).expect("the UUID has version 7");
        let requester =
            Requester::Operator { request, actor: actor.clone(), reason: Some(reason.clone()) };
        self.propose_for(Command::RecordRecovery { epoch }, requester).await?;
        tracing::warn!(%epoch, %actor, %reason, "the cluster was recovered on this agent");
        Ok(())
    }
}
