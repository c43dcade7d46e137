//! Locks by key: one holder for each key at a time, and no entry for a key without one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

type Map<K> = BTreeMap<K, Arc<tokio::sync::Mutex<()>>>;

/// Locks by key.
#[derive(Debug)]
pub(super) struct Locks<K>(Mutex<Map<K>>);

impl<K> Default for Locks<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Ord + Copy> Locks<K> {
    /// Waits for the lock of `key`. Cancel-safe.
    pub(super) async fn lock(&self, key: K) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Only the map has those that nobody holds or waits for.
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            Arc::clone(locks.entry(key).or_default())
        };
        lock.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_lock_has_one_holder_for_each_key_and_is_forgotten_afterwards() {
        let locks = Locks::default();
        let held = locks.lock(1).await;
        assert!(timeout(Duration::ZERO, locks.lock(1)).await.is_err());
        drop(locks.lock(2).await);
        drop(held);
        drop(timeout(Duration::ZERO, locks.lock(1)).await.expect("it is free"));
        drop(locks.lock(3).await);
        assert_eq!(locks.0.lock().expect("not poisoned").len(), 1);
    }
}
