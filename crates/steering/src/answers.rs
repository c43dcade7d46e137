//! Answers built so far, in wire format.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use hickory_proto::rr::RecordType;
use meridian_domain::{RegionName, ServiceName, limits};

use crate::dependency::Dependency;
use crate::encode::Body;
use crate::name::{MAX_NAME_BYTES, WireName};

/// Number of independently locked parts, so that threads rarely wait for each other.
const SHARDS: usize = 16;
/// Maximum number of answers in a shard: 65,536 in all, of some 300 bytes each. A full shard is
/// cleared, because an answer is built again within microseconds.
const ANSWERS_PER_SHARD: usize = 4_096;

/// Clients that an answer is the same for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// All clients.
    Everyone,
    /// Clients of the same region.
    Region,
    /// Clients of the same network. There are too many networks to keep an answer for each.
    Network,
}

/// An answer, and what it depends on.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) body: Body,
    pub(crate) audience: Audience,
    pub(crate) dependencies: Vec<Dependency>,
}

impl Answer {
    fn is_current(&self) -> bool {
        self.dependencies.iter().all(Dependency::is_current)
    }
}

/// Name, type and client region of an answer.
pub(crate) struct Key {
    bytes: [u8; Self::MAX_BYTES],
    length: usize,
}

impl Key {
    /// A region, a separator, a name and a type.
    const MAX_BYTES: usize = limits::REGION_NAME_CHARS + 1 + MAX_NAME_BYTES + 2;

    pub(crate) fn new(region: &RegionName, name: &WireName, record_type: RecordType) -> Self {
        let mut key = Self { bytes: [0; Self::MAX_BYTES], length: 0 };
        let record_type = u16::from(record_type).to_be_bytes();
        for part in [region.as_str().as_bytes(), &[0], name.as_bytes(), &record_type] {
            let end = key.length + part.len();
            key.bytes[key.length..end].copy_from_slice(part);
            key.length = end;
        }
        key
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

type Shard = RwLock<HashMap<Box<[u8]>, Arc<Answer>>>;

/// Bounded table of answers. Never blocks for long: no lock is held while an answer is built.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    shards: [Shard; SHARDS],
    hasher: RandomState,
    /// The current version of each service that answers depend on: at most as many as there are
    /// services, because the event that deletes one invalidates its answers.
    services: Mutex<HashMap<ServiceName, Dependency>>,
}

impl Answers {
    /// Returns the answer, if it was built and nothing that it depends on has changed since.
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Answer>> {
        let shard = self.shard(key).read().unwrap_or_else(PoisonError::into_inner);
        shard.get(key.as_bytes()).filter(|answer| answer.is_current()).cloned()
    }

    pub(crate) fn insert(&self, key: &Key, answer: Arc<Answer>) {
        let mut shard = self.shard(key).write().unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= ANSWERS_PER_SHARD {
            shard.clear();
        }
        shard.insert(key.as_bytes().into(), answer);
    }

    /// Returns the current version of a service, which must exist. Must be called while the guard of
    /// the state is held that the answer is built from: a later change then invalidates the answer,
    /// even if it is still being built.
    pub(crate) fn dependency(&self, service: &ServiceName) -> Dependency {
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        services.entry(service.clone()).or_insert_with(Dependency::current).clone()
    }

    /// Invalidates the answers about a service.
    pub(crate) fn invalidate(&self, service: &ServiceName) {
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = services.remove(service) {
            known.supersede();
        }
    }

    fn shard(&self, key: &Key) -> &Shard {
        &self.shards[self.hasher.hash_one(key.as_bytes()) as usize % SHARDS]
    }
}
