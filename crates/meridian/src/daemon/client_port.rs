//! The client port. It is served from the start: requests are refused, with the reason, until the agent
//! can serve them.

use std::sync::Arc;

use meridian_replication::peer::meeting::Lobby;
use meridian_transport::accept::Limits;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// The client port of an agent that cannot serve requests yet.
pub struct ClientPort {
    listener: Arc<TcpListener>,
    _refusing: AbortOnDropHandle<()>,
}

impl ClientPort {
    /// Starts to refuse requests. The lobby knows whether the agent is a member of a cluster.
    pub fn new(listener: TcpListener, limits: Limits, lobby: Lobby) -> Self {
        let listener = Arc::new(listener);
        let shared = Arc::clone(&listener);
        let refusing = tokio::spawn(async move {
            let is_member = move || lobby.cluster().is_some();
            if let Err(error) = meridian_api::refuse_requests(shared, limits, is_member).await {
                tracing::error!(%error, "client port failed");
            }
        });
        Self { listener, _refusing: AbortOnDropHandle::new(refusing) }
    }

    /// Stops refusing requests, and returns the listener for a server that serves them.
    pub fn into_listener(self) -> Arc<TcpListener> {
        self.listener
    }
}
