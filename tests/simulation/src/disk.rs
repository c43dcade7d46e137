//! The disk of an agent, which survives crashes. Data is durable only once synced; a power loss
//! keeps a prefix of the unsynced writes.

mod database;
mod desired_store;
mod journal;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use meridian_domain::{ClusterId, Generation};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

pub use database::SimDatabase;
pub use desired_store::SimDesiredStore;
pub use journal::SimJournal;

/// A disk. Clones share it.
#[derive(Debug, Clone)]
pub struct Disk {
    inner: Arc<Mutex<Inner>>,
    database: SimDatabase,
}

#[derive(Debug)]
struct Inner {
    rng: SmallRng,
    /// Minimum and maximum latency of a sync.
    sync: (Duration, Duration),
    /// Additional latency while the disk is slow.
    slower: Duration,
    /// Set while no sync completes.
    hanging: bool,
    /// Start of the oldest sync that hangs.
    hanging_since: Option<Duration>,
    /// Set while syncs fail, until the agent is restarted.
    broken: bool,
    /// Number of the process run that may use the disk.
    process_run: u64,
    cluster: Option<ClusterId>,
    generation: Generation,
    desired: Option<Vec<u8>>,
    journal: journal::Stored,
}

/// The effect of a crash on unsynced writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsynced {
    /// All of them are kept: only the process ended.
    Kept,
    /// A random prefix of them is kept.
    Torn,
}

impl Disk {
    /// Creates an empty disk with the given minimum and maximum sync latency.
    #[must_use]
    pub fn new(seed: u64, sync: (Duration, Duration)) -> Self {
        let inner = Inner {
            rng: SmallRng::seed_from_u64(seed),
            sync,
            slower: Duration::ZERO,
            hanging: false,
            hanging_since: None,
            broken: false,
            process_run: 0,
            cluster: None,
            generation: Generation(0),
            desired: None,
            journal: journal::Stored::default(),
        };
        Self { inner: Arc::new(Mutex::new(inner)), database: SimDatabase::default() }
    }

    /// Returns the cluster of the agent.
    #[must_use]
    pub fn cluster(&self) -> Option<ClusterId> {
        self.inner().cluster
    }

    /// Sets the cluster of the agent.
    pub fn set_cluster(&self, cluster: ClusterId) {
        self.inner().cluster = Some(cluster);
    }

    /// Increments and returns the generation of the agent.
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

    /// Returns the derived database.
    #[must_use]
    pub fn database(&self) -> SimDatabase {
        self.database.clone()
    }

    /// Returns the store of the desired units.
    #[must_use]
    pub fn desired_store(&self) -> SimDesiredStore {
        SimDesiredStore::new(self.clone())
    }

    /// Makes syncs fail from now on; unsynced writes never become durable.
    pub fn fail_syncs(&self) {
        self.inner().broken = true;
    }

    /// Sets the additional latency of each sync.
    pub fn set_slower(&self, slower: Duration) {
        self.inner().slower = slower;
    }

    /// Sets whether syncs hang. They complete afterwards.
    pub fn set_hanging(&self, hanging: bool) {
        let mut inner = self.inner();
        inner.hanging = hanging;
        inner.hanging_since = None;
    }

    /// Returns the start of the oldest sync that hangs, if any.
    #[must_use]
    pub fn hanging_since(&self) -> Option<Duration> {
        self.inner().hanging_since
    }

    /// Returns true if syncs fail.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.inner().broken
    }

    /// Ends the current process run of the agent: none of its later writes reach the disk.
    pub fn crash(&self, unsynced: Unsynced) {
        let mut inner = self.inner();
        let Inner { journal, rng, broken, hanging_since, process_run, .. } = &mut *inner;
        *process_run += 1;
        *hanging_since = None;
        let torn = unsynced == Unsynced::Torn || *broken;
        *broken = false;
        let keep = if torn { rng.random_range(0..=journal.unsynced()) } else { usize::MAX };
        journal.crash(keep);
        let batches = if torn { rng.random_range(0..4) } else { usize::MAX };
        drop(inner);
        self.database.crash(batches);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no thread panics while holding the lock")
    }
}

impl Inner {
    /// Returns true if a sync of this process run that started at `started` hangs.
    fn hangs(&mut self, process_run: u64, started: Duration) -> bool {
        let hangs = self.hanging && self.process_run == process_run;
        if hangs {
            self.hanging_since.get_or_insert(started);
        }
        hangs
    }

    fn latency(&mut self) -> Duration {
        self.slower + self.rng.random_range(self.sync.0..=self.sync.1)
    }
}
