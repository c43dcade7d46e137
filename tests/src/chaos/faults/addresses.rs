//! Faults of the addresses of agents.

use std::net::SocketAddrV4;
use std::time::Duration;

use tokio::time::sleep;

use super::{ActiveFault, Injector};
use crate::chaos::effects;

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
}
