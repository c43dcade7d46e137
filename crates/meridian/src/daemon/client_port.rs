//! The client port. It is served from the start: requests are refused, with the reason, until the agent
//! is a member of a cluster.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// The client port of an agent that cannot serve requests yet.
pub struct ClientPort {
    listener: Arc<TcpListener>,
    _refusing: AbortOnDropHandle<()>,
}

impl ClientPort {
    /// Starts to refuse requests.
    pub fn new(listener: TcpListener) -> Self {
        let listener = Arc::new(listener);
        let shared = Arc::clone(&listener);
        let refusing = tokio::spawn(async {
            if let Err(error) = meridian_api::refuse_requests(shared).await {
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
