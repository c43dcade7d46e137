//! Liveness and readiness of an agent.

use std::sync::{Arc, Mutex};

use meridian_storage::fuse::Fuse;
use tokio::sync::watch;

/// Health of an agent. Cheap to clone; all clones share the state.
#[derive(Clone)]
pub struct Health {
    fuse: Fuse,
    /// Reason why the agent is not ready; `None` if it is ready.
    not_ready: Arc<Mutex<Option<String>>>,
    ready: Arc<watch::Sender<bool>>,
}

impl Health {
    /// Creates the health of an agent that is starting. It is unhealthy once `fuse` has blown.
    #[must_use]
    pub fn new(fuse: Fuse) -> Self {
        let not_ready = Arc::new(Mutex::new(Some("the agent is starting".to_owned())));
        Self { fuse, not_ready, ready: Arc::new(watch::Sender::new(false)) }
    }

    /// Sets the reason why the agent is not ready; `None` makes it ready.
    pub fn set_not_ready(&self, reason: Option<String>) {
        let mut not_ready = self.not_ready.lock().expect("no holder of this lock panics");
        self.ready.send_if_modified(|ready| {
            let changed = *ready != reason.is_none();
            *ready = reason.is_none();
            changed
        });
        *not_ready = reason;
    }

    /// Returns a receiver that is true while the agent is ready.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Checks that the agent works.
    ///
    /// # Errors
    /// The reason why it does not.
    pub fn healthy(&self) -> Result<(), String> {
        self.fuse.cause().map_or(Ok(()), Err)
    }

    /// Checks that the agent is healthy and ready for clients.
    ///
    /// # Errors
    /// The reason why it is not.
    pub fn ready(&self) -> Result<(), String> {
        self.healthy()?;
        self.not_ready.lock().expect("no holder of this lock panics").clone().map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_ready_without_a_reason_against_it_and_never_with_a_blown_fuse() {
        let fuse = Fuse::default();
        let health = Health::new(fuse.clone());
        let ready = health.subscribe();
        assert_eq!(health.ready(), Err("the agent is starting".to_owned()));
        assert!(health.healthy().is_ok() && !*ready.borrow());
        health.set_not_ready(None);
        assert!(health.ready().is_ok() && *ready.borrow());
        health.set_not_ready(Some("no leader is known".to_owned()));
        assert_eq!(health.ready(), Err("no leader is known".to_owned()));
        health.set_not_ready(None);
        fuse.blow("the disk failed");
        assert_eq!(health.ready(), Err("the disk failed".to_owned()));
        assert_eq!(health.healthy(), health.ready());
    }
}
