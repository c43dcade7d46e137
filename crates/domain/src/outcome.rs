//! What became of operators' requests: a replicated table, so that a repeated request gets the answer
//! of the first one from every node and never happens twice.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::entry::Verdict;
use crate::id::{Digest, RequestId, Revision};
use crate::limits;

/// What became of one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// SHA-256 of the command.
    pub digest: Digest,
    /// The answer.
    pub verdict: Verdict,
    /// The revision of the state before it.
    pub base: Revision,
    /// The revision of the state after it: that of its last event, if it has any.
    pub revision: Revision,
}

/// The outcomes of the newest requests.
///
/// Request ids are UUIDs of version 7, so their order is that of their births: the table forgets the
/// smallest id, and refuses every unknown one that is not above the greatest that it forgot. A
/// request can so be refused without need, by a client whose clock is far behind, and never happen
/// twice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    /// By request, the oldest first.
    pub by_request: BTreeMap<RequestId, Outcome>,
    /// The greatest id that was forgotten.
    pub forgotten: Option<RequestId>,
}

/// What the table says of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recollection<'a> {
    /// Never seen: go ahead.
    Unknown,
    /// Seen with the same command: answer this.
    Same(&'a Outcome),
    /// Seen with another command.
    Reused,
    /// Not above the greatest id forgotten: it may have happened.
    Expired,
}

impl Outcomes {
    /// What became of `request`, if the table can say.
    #[must_use]
    pub fn recall(&self, request: RequestId, digest: &Digest) -> Recollection<'_> {
        match self.by_request.get(&request) {
            Some(outcome) if outcome.digest == *digest => Recollection::Same(outcome),
            Some(_) => Recollection::Reused,
            None if Some(request) <= self.forgotten => Recollection::Expired,
            None => Recollection::Unknown,
        }
    }

    /// Notes an outcome, and returns the request that had to be forgotten for it, if any.
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
    fn a_repeated_request_is_recalled_and_a_reused_id_is_told_apart() {
        let mut outcomes = Outcomes::default();
        outcomes.record(request(1), outcome());
        assert_eq!(outcomes.recall(request(1), &Digest([1; 32])), Recollection::Same(&outcome()));
        assert_eq!(outcomes.recall(request(1), &Digest([2; 32])), Recollection::Reused);
        assert_eq!(outcomes.recall(request(2), &Digest([1; 32])), Recollection::Unknown);
    }

    #[test]
    fn what_was_forgotten_is_never_taken_for_new() {
        let mut outcomes = Outcomes::default();
        for time in 1..=limits::OUTCOMES as u128 {
            assert_eq!(outcomes.record(request(time * 10), outcome()), None);
        }
        let newest = request(limits::OUTCOMES as u128 * 10 + 10);
        assert_eq!(outcomes.record(newest, outcome()), Some(request(10)));
        assert_eq!(outcomes.by_request.len(), limits::OUTCOMES);
        let digest = Digest([1; 32]);
        assert_eq!(outcomes.recall(request(10), &digest), Recollection::Expired);
        assert_eq!(outcomes.recall(request(5), &digest), Recollection::Expired);
        assert_eq!(outcomes.recall(request(15), &digest), Recollection::Unknown);
    }
}
