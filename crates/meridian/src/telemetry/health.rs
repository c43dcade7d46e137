//! Whether an agent works, and whether it is ready for clients.

use std::sync::{Arc, Mutex};

use meridian_storage::fuse::Fuse;
use tokio::sync::watch;

/// How an agent is. Cheap to clone; every clone is the same.
#[derive(Clone)]
pub struct Health {
    fuse: Fuse,
    /// Why it is not ready; none where it is.
    obstacle: Arc<Mutex<Option<String>>>,
    ready: Arc<watch::Sender<bool>>,
}

impl Health {
    /// That of an agent that only begins, and is unhealthy once `fuse` has blown.
    #[must_use]
    pub fn new(fuse: Fuse) -> Self {
        let obstacle = Arc::new(Mutex::new(Some("the agent starts".to_owned())));
        Self { fuse, obstacle, ready: Arc::new(watch::Sender::new(false)) }
    }

    /// Notes what keeps the agent from being ready; none if nothing does.
    pub fn set_obstacle(&self, obstacle: Option<String>) {
        let mut present = self.obstacle.lock().expect("no holder of this lock panics");
        self.ready.send_if_modified(|ready| {
            let changed = *ready != obstacle.is_none();
            *ready = obstacle.is_none();
            changed
        });
        *present = obstacle;
    }

    /// Announces whether the agent is ready.
    #[must_use]
    pub fn announced(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Whether the agent works.
    ///
    /// # Errors
    /// Why it does not.
    pub fn healthy(&self) -> Result<(), String> {
        self.fuse.cause().map_or(Ok(()), Err)
    }

    /// Whether clients are served well here.
    ///
    /// # Errors
    /// Why they are not.
    pub fn ready(&self) -> Result<(), String> {
        self.healthy()?;
        self.obstacle.lock().expect("no holder of this lock panics").clone().map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_ready_without_obstacles_and_never_with_a_blown_fuse() {
        let fuse = Fuse::default();
        let health = Health::new(fuse.clone());
        let announced = health.announced();
        assert_eq!(health.ready(), Err("the agent starts".to_owned()));
        assert!(health.healthy().is_ok() && !*announced.borrow());
        health.set_obstacle(None);
        assert!(health.ready().is_ok() && *announced.borrow());
        health.set_obstacle(Some("no leader is known".to_owned()));
        assert_eq!(health.ready(), Err("no leader is known".to_owned()));
        health.set_obstacle(None);
        fuse.blow("the disk failed");
        assert_eq!(health.ready(), Err("the disk failed".to_owned()));
        assert_eq!(health.healthy(), health.ready());
    }
}
