//! The disk of an agent: what outlives its crash. Everything is durable only once synced; a loss of
//! power keeps a part of the rest, in the order in which it was written.

mod database;
mod journal;
mod kept;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use meridian_domain::{ClusterId, Generation};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

pub use database::SimDatabase;
pub use journal::SimJournal;
pub use kept::SimKept;

/// A disk. Every clone is the same one.
#[derive(Debug, Clone)]
pub struct Disk {
    inner: Arc<Mutex<Inner>>,
    database: SimDatabase,
}

#[derive(Debug)]
struct Inner {
    rng: SmallRng,
    /// The shortest and the longest time that a sync takes.
    sync: (Duration, Duration),
    /// How much longer each takes while the disk is slow.
    slower: Duration,
    /// Syncs fail from here on, until the agent is started again.
    broken: bool,
    /// Which start of the agent may use it.
    life: u64,
    cluster: Option<ClusterId>,
    generation: Generation,
    kept: Option<Vec<u8>>,
    journal: journal::Stored,
}

/// What becomes of that which was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsynced {
    /// It is all there: only the process ended.
    Stays,
    /// Some first part of it is there.
    IsTorn,
}

impl Disk {
    /// An empty disk, whose syncs take between the two durations.
    #[must_use]
    pub fn new(seed: u64, sync: (Duration, Duration)) -> Self {
        let inner = Inner {
            rng: SmallRng::seed_from_u64(seed),
            sync,
            slower: Duration::ZERO,
            broken: false,
            life: 0,
            cluster: None,
            generation: Generation(0),
            kept: None,
            journal: journal::Stored::default(),
        };
        Self { inner: Arc::new(Mutex::new(inner)), database: SimDatabase::default() }
    }

    /// The cluster that the agent belongs to.
    #[must_use]
    pub fn cluster(&self) -> Option<ClusterId> {
        self.inner().cluster
    }

    /// Makes it part of a cluster.
    pub fn set_cluster(&self, cluster: ClusterId) {
        self.inner().cluster = Some(cluster);
    }

    /// The number of the next life of the agent.
    pub fn raise_generation(&self) -> Generation {
        let mut inner = self.inner();
        inner.generation = inner.generation.next();
        inner.generation
    }

    /// Opens the Raft log.
    #[must_use]
    pub fn journal(&self) -> SimJournal {
        SimJournal::open(self.clone())
    }

    /// The derived database.
    #[must_use]
    pub fn database(&self) -> SimDatabase {
        self.database.clone()
    }

    /// Where the desired set is kept.
    #[must_use]
    pub fn kept(&self) -> SimKept {
        SimKept::new(self.clone())
    }

    /// From now on syncs fail, and what was written since the last one never gets to the disk.
    pub fn breaks(&self) {
        self.inner().broken = true;
    }

    /// From now on each sync takes that much longer.
    pub fn set_slower(&self, slower: Duration) {
        self.inner().slower = slower;
    }

    /// Whether syncs fail.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.inner().broken
    }

    /// Ends the present life of the agent: nothing that it does any more gets to the disk.
    pub fn crash(&self, unsynced: Unsynced) {
        let mut inner = self.inner();
        let Inner { journal, rng, broken, life, .. } = &mut *inner;
        *life += 1;
        let torn = unsynced == Unsynced::IsTorn || *broken;
        *broken = false;
        let keep = if torn { rng.random_range(0..=journal.unsynced()) } else { usize::MAX };
        journal.crash(keep);
        let batches = if torn { rng.random_range(0..4) } else { usize::MAX };
        drop(inner);
        self.database.crash(batches);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nothing panics while it holds the disk")
    }
}

impl Inner {
    fn latency(&mut self) -> Duration {
        self.slower + self.rng.random_range(self.sync.0..=self.sync.1)
    }
}
