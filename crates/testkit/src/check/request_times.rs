//! S12: a request with an id from the future is refused, and no other request expires because of it.
//! The outcome of a later request is lost if the ids of recorded ones are ahead of its own.

use super::Violation;
use super::facts::Facts;
use crate::history::{Micros, Operation, OperationKind, Outcome};

/// Time by which an id must be ahead to count as one from the future, in milliseconds: more than the
/// clock of an agent is shifted by a fault.
const AHEAD_MS: u64 = 24 * 3_600_000;
/// Reason of a refusal of an id that is older than those that were evicted.
const EXPIRED: &str = "REQUEST_EXPIRED";

pub(super) fn check(facts: &Facts<'_>) -> Vec<Violation> {
    let changes = facts.operations.iter().filter_map(|operation| match &operation.kind {
        OperationKind::Change { request, .. } => Some((*operation, request.time().0)),
        OperationKind::Read { .. } => None,
    });
    let changes: Vec<(&Operation, u64)> = changes.collect();
    // The wall clock of the clients at the start of the recording.
    let began = |(operation, id): &(&Operation, u64)| id.saturating_sub(ms(operation.invoked));
    let Some(began) = changes.iter().map(began).min() else { return Vec::new() };
    let violation = |(operation, id): (&Operation, u64)| {
        let ahead = id > began + ms(operation.invoked) + AHEAD_MS;
        let what = match &operation.outcome {
            Outcome::Accepted { .. } | Outcome::Rejected { .. } if ahead => {
                format!("{} decided a request with an id from the future", operation.node)
            }
            Outcome::NotProposed { reason } if !ahead && reason == EXPIRED => {
                format!("{} refused a request as expired whose id was new", operation.node)
            }
            _ => return None,
        };
        Some(Violation::new("S12", operation.returned, what))
    };
    changes.into_iter().filter_map(violation).collect()
}

fn ms(at: Micros) -> u64 {
    at / 1_000
}
