//! Settings that a response depends on, and the answers built with them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use arc_swap::{ArcSwap, Guard};
use meridian_domain::reachability::local_view;
use meridian_domain::routing::closest_region;
use meridian_domain::{RegionName, Revision, State};
use meridian_ports::LocalView;

use crate::answers::{Answer, Answers};
use crate::location::database::RecordId;
use crate::location::networks::NetworkTable;
use crate::zone::Zone;

/// Maximum number of records of the location database whose region is kept: more than are in use
/// within the time to live of a response. The table is cleared when it is full.
const LOCATED_RECORDS: usize = 65_536;

/// Everything that changes only with cluster-wide events. Such a change replaces the view, and with
/// it all answers.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) zone: Option<Zone>,
    /// The state by which clients are routed while there is no leader; otherwise that of the log.
    pub(crate) local: Option<State>,
    pub(crate) networks: NetworkTable,
    pub(crate) answers: Answers,
    /// Answers about names that do not exist, by the length of the name below the zone in wire format:
    /// apart from the question, they are the same.
    pub(crate) name_errors: NameErrors,
    /// Regions closest to records of the location database.
    located: RwLock<HashMap<RecordId, RegionName>>,
}

impl View {
    pub(crate) fn of(state: &State, unreachable: &LocalView) -> Self {
        let networks = NetworkTable::new(&state.networks);
        let local = unreachable.as_ref().map(|unreachable| local_view(state, unreachable));
        Self { zone: Zone::of(&state.header.dns), local, networks, ..Self::default() }
    }

    /// Returns the region closest to a record of the location database.
    pub(crate) fn closest(&self, record: RecordId) -> Option<RegionName> {
        let located = self.located.read().unwrap_or_else(PoisonError::into_inner);
        located.get(&record).cloned()
    }

    /// Returns the region closest to the coordinates of a record, and keeps it.
    pub(crate) fn locate(
        &self,
        state: &State,
        record: RecordId,
        (latitude, longitude): (f64, f64),
    ) -> RegionName {
        let region = &closest_region(state, latitude, longitude).name;
        let mut located = self.located.write().unwrap_or_else(PoisonError::into_inner);
        if located.len() >= LOCATED_RECORDS {
            located.clear();
        }
        located.insert(record, region.clone());
        region.clone()
    }
}

/// Answers by a length of at most 255.
#[derive(Debug)]
pub(crate) struct NameErrors(Box<[OnceLock<Arc<Answer>>]>);

impl Default for NameErrors {
    fn default() -> Self {
        Self((0..=255).map(|_| OnceLock::new()).collect())
    }
}

impl NameErrors {
    pub(crate) fn get(&self, length: usize) -> Option<Arc<Answer>> {
        self.0.get(length)?.get().cloned()
    }

    pub(crate) fn insert(&self, length: usize, answer: &Arc<Answer>) {
        if let Some(entry) = self.0.get(length) {
            // Another thread may have been faster.
            let _ = entry.set(Arc::clone(answer));
        }
    }
}

/// The current view, and the revision that has been followed.
#[derive(Debug, Default)]
pub(crate) struct Current {
    view: ArcSwap<View>,
    revision: AtomicU64,
}

impl Current {
    pub(crate) fn view(&self) -> Guard<Arc<View>> {
        self.view.load()
    }

    pub(crate) fn replace(&self, view: View) {
        self.view.store(Arc::new(view));
    }

    /// Sets the revision once all answers that it affects are invalidated.
    pub(crate) fn set_revision(&self, revision: Revision) {
        self.revision.store(revision.0, Ordering::Release);
    }

    /// Returns the serial of the zone: the revision, modulo 2^32 (RFC 1982).
    pub(crate) fn serial(&self) -> u32 {
        self.revision.load(Ordering::Acquire) as u32
    }
}
