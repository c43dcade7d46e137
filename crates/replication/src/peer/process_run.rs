//! Identity of one run of an agent's process. Two processes with one node id, for example because a
//! data directory was copied, differ in it.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

/// Identity of this process run. Cheap to copy.
#[derive(Debug, Clone, Copy)]
pub struct ProcessRun {
    id: Uuid,
    started: Instant,
}

/// A process run, as it identifies itself to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdentifiedRun {
    /// Random identity.
    pub id: Uuid,
    /// Time since its start.
    pub age: Duration,
}

impl ProcessRun {
    /// Creates the identity of a process run that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { id: Uuid::new_v4(), started: Instant::now() }
    }

    /// Returns the random identity.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Returns the identity and the current age.
    #[must_use]
    pub fn identify(&self) -> IdentifiedRun {
        IdentifiedRun { id: self.id, age: self.started.elapsed() }
    }
}
