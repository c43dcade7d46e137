//! Outcomes of operator requests: a replicated table that makes requests idempotent. Every node
//! returns the outcome of the first attempt for a repeated request; no request is executed twice.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::entry::Verdict;
use crate::id::{Digest, RequestId, Revision};
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

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn request(time: u128) -> RequestId {
        let version_and_variant = 0x7000_8000_0000_0000_0000_u128;
        Uuid::from_u128(time << 80 | version_and_variant).try_into().expect("is version 7")
    }

    fn outcome() -> Outcome {
        Outcome {
            digest: Digest([1; 32]),
            verdict: Verdict::Accepted,
            base: Revision(0),
            revision: Revision(1),
        }
    }

    #[test]
    fn a_repeated_request_returns_its_outcome_and_a_reused_id_is_detected() {
        let mut outcomes = Outcomes::default();
        outcomes.record(request(1), outcome());
        assert_eq!(outcomes.lookup(request(1), &Digest([1; 32])), OutcomeLookup::Known(&outcome()));
        assert_eq!(outcomes.lookup(request(1), &Digest([2; 32])), OutcomeLookup::Reused);
        assert_eq!(outcomes.lookup(request(2), &Digest([1; 32])), OutcomeLookup::New);
    }

    #[test]
    fn evicted_requests_expire_and_are_never_treated_as_new() {
        let mut outcomes = Outcomes::default();
        for time in 1..=limits::OUTCOMES as u128 {
            assert_eq!(outcomes.record(request(time * 10), outcome()), None);
        }
        let newest = request(limits::OUTCOMES as u128 * 10 + 10);
        assert_eq!(outcomes.record(newest, outcome()), Some(request(10)));
        assert_eq!(outcomes.by_request.len(), limits::OUTCOMES);
        let digest = Digest([1; 32]);
        assert_eq!(outcomes.lookup(request(10), &digest), OutcomeLookup::Expired);
        assert_eq!(outcomes.lookup(request(5), &digest), OutcomeLookup::Expired);
        assert_eq!(outcomes.lookup(request(15), &digest), OutcomeLookup::New);
    }
}
