//! Outcomes without a row: those that can be told from the events of their change.

use meridian_domain::outcome::Outcome;
use meridian_domain::{EventRecord, Origin, RequestId, Revision, State, Verdict, limits};

use super::{Key, Row};

/// How far the newest events are from those that need not tell outcomes any more. Most outcomes are
/// forgotten by then, and the others get rows.
const DISTANCE: u64 = limits::OUTCOMES as u64;
/// How much further it is before that place moves: each time, all outcomes are looked through. The
/// two bound how many events are read for their outcomes when a store is opened.
const STEP: u64 = 16_384;

impl Row {
    /// Whether the row is left out, because an event behind `after` tells what it would say.
    #[must_use]
    pub fn is_told(&self, after: Revision) -> bool {
        match self {
            Self::Outcome(_, Some(outcome)) => is_told(outcome, after),
            _ => false,
        }
    }
}

/// The outcome of the request whose change set ends with this event; none where it is not the last one,
/// or no operator asked.
#[must_use]
pub fn outcome(record: &EventRecord) -> Option<(RequestId, Outcome)> {
    let Origin::Operator { request, digest, .. } = &record.origin else { return None };
    let base = Revision(record.change.0.checked_sub(1)?);
    let revision = record.change_end;
    let outcome = Outcome { digest: *digest, verdict: Verdict::Accepted, base, revision };
    (record.revision == revision).then_some((*request, outcome))
}

fn is_told(outcome: &Outcome, after: Revision) -> bool {
    let has_events = outcome.base < outcome.revision && outcome.verdict == Verdict::Accepted;
    has_events && outcome.revision > after
}

/// The revision behind which events are to tell outcomes, where it was `after` before, `newest` is the
/// last event, and those up to `gone` have no rows any more.
#[must_use]
pub fn place(after: Revision, newest: Revision, gone: Revision) -> Revision {
    let far = Revision(newest.0.saturating_sub(DISTANCE));
    let due = far.0.saturating_sub(after.0) >= STEP;
    after.max(gone).max(if due { far } else { after })
}

/// The keys of those outcomes that get a row when that place moves.
pub fn left_behind(
    state: &State,
    before: Revision,
    after: Revision,
) -> impl Iterator<Item = Key> + '_ {
    let outcomes = state.outcomes.by_request.iter();
    let left =
        outcomes.filter(move |(_, outcome)| is_told(outcome, before) && !is_told(outcome, after));
    left.map(|(request, _)| Key::Outcome(*request))
}
