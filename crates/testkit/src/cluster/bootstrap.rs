//! A node that waits for its cluster to be bootstrapped.

use std::net;

use meridian_domain::AgentDescription;
use meridian_replication::peer::meeting::{Admission, Lobby};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::node::serve;

/// A node of a new cluster, waiting to be admitted.
pub(super) struct BootstrapNode {
    pub(super) lobby: Lobby,
    listener: net::TcpListener,
    shutdown: CancellationToken,
    server: JoinHandle<()>,
}

impl BootstrapNode {
    pub(super) fn listen(
        description: AgentDescription,
        listener: TcpListener,
    ) -> anyhow::Result<Self> {
        let listener = listener.into_std()?;
        let serving = TcpListener::from_std(listener.try_clone()?)?;
        let lobby = Lobby::new(description, None, Box::new(|_, _| Ok(())));
        let shutdown = CancellationToken::new();
        let server = serve(serving, lobby.clone(), None, shutdown.clone());
        Ok(Self { lobby, listener, shutdown, server })
    }

    /// Waits for the node to be admitted, and returns its listener.
    pub(super) async fn admitted(self) -> anyhow::Result<net::TcpListener> {
        let Admission { .. } = self.lobby.admitted().await;
        self.shutdown.cancel();
        self.server.abort();
        let _ = self.server.await;
        Ok(self.listener)
    }
}
