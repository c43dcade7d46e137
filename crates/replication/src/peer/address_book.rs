//! Peer addresses of the members, looked up at each dial.
//!
//! An address has two sources: the log, and the member itself, which states its address in each
//! request and may have moved while the log could not be changed (see
//! [`introduction`](super::introduction)). The latest information counts, from either.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use meridian_domain::NodeId;
use meridian_domain::agent::Address;
use tokio::time::Instant;
use uuid::Uuid;

/// Peer addresses of the members.
#[derive(Debug, Default)]
pub struct AddressBook {
    entries: Mutex<BTreeMap<NodeId, Entry>>,
    /// Addresses that replace the first logged one of a node.
    overrides: BTreeMap<NodeId, Address>,
}

#[derive(Debug)]
struct Entry {
    logged: Address,
    current: Address,
    /// Process run that was identified at the current address.
    run: Option<Uuid>,
    /// Younger process run with the same node id, and the time of its last request.
    duplicate: Option<(Uuid, Instant)>,
}

impl Entry {
    fn at(logged: &Address, current: &Address) -> Self {
        let (logged, current) = (logged.clone(), current.clone());
        Self { logged, current, run: None, duplicate: None }
    }
}

impl AddressBook {
    /// Creates a book in which `overrides` replace addresses from the log until the log changes.
    #[must_use]
    pub fn new(overrides: BTreeMap<NodeId, Address>) -> Self {
        Self { entries: Mutex::default(), overrides }
    }

    /// Returns the address of a member.
    pub fn address(&self, node: NodeId) -> Option<Address> {
        self.entries().get(&node).map(|entry| entry.current.clone())
    }

    /// Returns the addresses of all members.
    pub(super) fn addresses(&self) -> Vec<(NodeId, Address)> {
        let entries = self.entries();
        entries.iter().map(|(node, entry)| (*node, entry.current.clone())).collect()
    }

    /// Returns true if the node is a member, and another address or process run of it is known.
    pub(super) fn differs(&self, node: NodeId, address: &str, run: Option<Uuid>) -> bool {
        let differs = |entry: &Entry| {
            entry.current.as_str() != address || (run.is_some() && entry.run != run)
        };
        self.entries().get(&node).is_some_and(differs)
    }

    /// Records a request of `run`. Returns the address of the older process if that is a duplicate.
    pub(super) fn record_request(&self, node: NodeId, run: Uuid) -> Option<Address> {
        let mut entries = self.entries();
        let entry = entries.get_mut(&node)?;
        let (duplicate, last) = entry.duplicate.as_mut()?;
        (*duplicate == run).then(|| {
            *last = Instant::now();
            entry.current.clone()
        })
    }

    /// Returns the members with whose node id a second process sent requests within `time`.
    #[must_use]
    pub fn duplicates(&self, time: Duration) -> Vec<NodeId> {
        let is_recent = |entry: &Entry| entry.duplicate.is_some_and(|(_, at)| at.elapsed() < time);
        let entries = self.entries();
        entries.iter().filter(|(_, entry)| is_recent(entry)).map(|(node, _)| *node).collect()
    }

    /// Records that `run` is a duplicate of the process at the current address.
    pub(super) fn record_duplicate(&self, node: NodeId, run: Uuid) {
        if let Some(entry) = self.entries().get_mut(&node) {
            entry.duplicate = Some((run, Instant::now()));
        }
    }

    /// Records the address of a member according to the log. Has no effect if the log has not
    /// changed.
    pub(crate) fn record_logged(&self, node: NodeId, address: &Address) {
        let mut entries = self.entries();
        match entries.get_mut(&node) {
            Some(entry) if entry.logged == *address => {}
            Some(entry) => {
                tracing::info!(%node, %address, "new peer address of a member, from the log");
                *entry = Entry::at(address, address);
            }
            None => {
                let current = self.overrides.get(&node).unwrap_or(address);
                entries.insert(node, Entry::at(address, current));
            }
        }
    }

    /// Records the address of a member that is not in the book yet, from the membership of Raft,
    /// which may be older than that of the registered agent.
    pub(crate) fn record_member(&self, node: NodeId, address: &Address) {
        if self.address(node).is_none() {
            self.record_logged(node, address);
        }
    }

    /// Records an address at which a process run of a member was identified.
    pub(crate) fn record_verified(&self, node: NodeId, address: Address, run: Option<Uuid>) {
        if let Some(entry) = self.entries().get_mut(&node) {
            (entry.current, entry.run) = (address, run);
            entry.duplicate = entry.duplicate.filter(|(duplicate, _)| Some(*duplicate) != run);
        }
    }

    /// Removes nodes that are not among `members`.
    pub(crate) fn retain(&self, members: &BTreeSet<NodeId>) {
        self.entries().retain(|node, _| members.contains(node));
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<NodeId, Entry>> {
        self.entries.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(7);

    fn address(text: &str) -> Address {
        Address::new(text).expect("is valid")
    }

    #[test]
    fn the_latest_address_counts_from_either_source() {
        let book = AddressBook::default();
        book.record_verified(NODE, address("stranger:1"), None);
        assert_eq!(book.address(NODE), None, "not a member");

        book.record_logged(NODE, &address("old:1"));
        assert_eq!(book.address(NODE), Some(address("old:1")));
        book.record_verified(NODE, address("verified:1"), None);
        book.record_logged(NODE, &address("old:1"));
        assert_eq!(book.address(NODE), Some(address("verified:1")), "the log has not changed");
        assert!(book.differs(NODE, "old:1", None) && !book.differs(NODE, "verified:1", None));
        book.record_logged(NODE, &address("new:1"));
        book.record_member(NODE, &address("old:1"));
        assert_eq!(book.address(NODE), Some(address("new:1")));

        book.retain(&BTreeSet::new());
        assert_eq!(book.address(NODE), None);
    }

    #[test]
    fn a_duplicate_is_refused_with_the_address_of_the_older_process() {
        let [older, younger] = [1, 2].map(Uuid::from_u128);
        let book = AddressBook::default();
        book.record_logged(NODE, &address("old:1"));
        assert!(book.differs(NODE, "old:1", Some(older)), "no process run is known");
        book.record_verified(NODE, address("old:1"), Some(older));
        assert!(!book.differs(NODE, "old:1", Some(older)));
        assert!(book.differs(NODE, "old:1", Some(younger)));

        book.record_duplicate(NODE, younger);
        assert_eq!(book.record_request(NODE, older), None);
        assert_eq!(book.record_request(NODE, younger), Some(address("old:1")));
        assert_eq!(book.duplicates(Duration::from_secs(60)), [NODE]);
        assert_eq!(book.duplicates(Duration::ZERO), []);

        // The older process ended, and the member was identified where the younger one runs.
        book.record_verified(NODE, address("new:1"), Some(younger));
        assert_eq!(book.record_request(NODE, younger), None);
        assert_eq!(book.duplicates(Duration::from_secs(60)), []);
    }

    #[test]
    fn an_override_holds_until_the_log_changes() {
        let book = AddressBook::new(BTreeMap::from([(NODE, address("recovered:1"))]));
        assert_eq!(book.address(NODE), None);
        book.record_logged(NODE, &address("old:1"));
        assert_eq!(book.address(NODE), Some(address("recovered:1")));
        book.record_logged(NODE, &address("new:1"));
        assert_eq!(book.address(NODE), Some(address("new:1")));
    }
}
