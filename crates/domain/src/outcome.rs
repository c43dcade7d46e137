//! Outcomes of operator requests: a replicated table that makes requests idempotent. Every node
//! returns the outcome of the first attempt for a repeated request; no request is executed twice.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::entry::Verdict;
use crate::id::{Digest, RequestId, Revision, Timestamp};
use crate::limits;

/// Outcome of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// SHA-256 of the command.
    pub digest: Digest,
    /// Verdict on the command.
    pub verdict: Verdict,
    /// Revision of the state before the request.
    pub base: Revision,
    /// Revision of the state after the request; equal to `base` if it had no events.
    pub revision: Revision,
}

/// Outcomes of the newest requests.
///
/// Request ids are UUIDs of version 7, which sort by creation time. The table evicts the smallest
/// id and rejects every unknown id that is not above the greatest evicted one. A client whose clock
/// is far behind may have its request rejected unnecessarily, but no request is ever executed
/// twice.
///
/// Ids from the future would fill the table, and once one is evicted, every other request would
/// expire until that time. So the sequencer refuses them, and a table that has them nevertheless,
/// from a leader whose clock was ahead, is cleared ([`Outcomes::clear_future`]).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    /// Outcomes by request, oldest first.
    pub by_request: BTreeMap<RequestId, Outcome>,
    /// Greatest id that was evicted.
    pub forgotten: Option<RequestId>,
}

/// Result of looking up a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutcomeLookup<'a> {
    /// The request is new and can be executed.
    New,
    /// The request was decided before, with the same command.
    Known(&'a Outcome),
    /// The request id was used before, with another command.
    Reused,
    /// The id is not above the greatest evicted one: the request may have been executed.
    Expired,
}

impl Outcomes {
    /// Looks up `request` with the digest of its command.
    #[must_use]
    pub fn lookup(&self, request: RequestId, digest: &Digest) -> OutcomeLookup<'_> {
        match self.by_request.get(&request) {
            Some(outcome) if outcome.digest == *digest => OutcomeLookup::Known(outcome),
            Some(_) => OutcomeLookup::Reused,
            None if Some(request) <= self.forgotten => OutcomeLookup::Expired,
            None => OutcomeLookup::New,
        }
    }

    /// True if the table is unusable at `time`: the greatest evicted id, or every id of a full
    /// table, is from the future.
    #[must_use]
    pub fn is_in_future(&self, time: Timestamp) -> bool {
        let oldest = self.by_request.first_key_value().map(|(request, _)| *request);
        let oldest = oldest.filter(|_| self.by_request.len() >= limits::OUTCOMES);
        let is_ahead = |request: RequestId| request.time().ahead_of(time).is_some();
        self.forgotten.is_some_and(is_ahead) || oldest.is_some_and(is_ahead)
    }

    /// Clears the table if it is unusable at `time`, and returns true if it was. Every id that may
    /// have been recorded by a leader whose clock was right expires, so requests are accepted again
    /// [`limits::MAX_CLOCK_ERROR`] after `time`.
    pub fn clear_future(&mut self, time: Timestamp) -> bool {
        let is_in_future = self.is_in_future(time);
        if is_in_future {
            let error = u64::try_from(limits::MAX_CLOCK_ERROR.as_millis()).unwrap_or(u64::MAX);
            self.by_request.clear();
            self.forgotten = Some(RequestId::last_at(Timestamp(time.0.saturating_add(error))));
        }
        is_in_future
    }

    /// Records an outcome. Returns the request that was evicted in its favor, if any.
    pub fn record(&mut self, request: RequestId, outcome: Outcome) -> Option<RequestId> {
        self.by_request.insert(request, outcome);
        if self.by_request.len() <= limits::OUTCOMES {
            return None;
        }
        let (oldest, _) = self.by_request.pop_first()?;
        self.forgotten = self.forgotten.max(Some(oldest));
        Some(oldest)
    }
}
