//! A node before its cluster is founded.

use std::net;

use meridian_domain::AgentDescription;
use meridian_replication::peer::meeting::{Admission, Lobby};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::node::serve;

/// A founder that waits for the others.
pub(super) struct Founder {
    pub(super) lobby: Lobby,
    listener: net::TcpListener,
    shutdown: CancellationToken,
    server: JoinHandle<()>,
}

impl Founder {
    pub(super) fn meet(
        description: AgentDescription,
        listener: TcpListener,
    ) -> anyhow::Result<Self> {
        let listener = listener.into_std()?;
        let serving = TcpListener::from_std(listener.try_clone()?)?;
        let lobby = Lobby::new(description, None, Box::new(|_| Ok(())));
        let shutdown = CancellationToken::new();
        let server = serve(serving, lobby.clone(), None, shutdown.clone());
        Ok(Self { lobby, listener, shutdown, server })
    }

    /// Returns the listener once the node has been admitted.
    pub(super) async fn leave(self) -> anyhow::Result<net::TcpListener> {
        let Admission { .. } = self.lobby.admitted().await;
        self.shutdown.cancel();
        self.server.abort();
        let _ = self.server.await;
        Ok(self.listener)
    }
}
