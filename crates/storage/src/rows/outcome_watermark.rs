//! Outcomes without a separate row, which are derived from the last event of their change set.

use meridian_domain::outcome::Outcome;
use meridian_domain::{EventRecord, Origin, RequestId, Revision, State, Verdict, limits};

use super::{Key, Row};

/// Distance of the watermark behind the newest event. Most outcomes are forgotten by the time their
/// event falls below it; the remaining ones get a row.
const DISTANCE: u64 = limits::OUTCOMES as u64;
/// Minimum advance of the watermark: each advance iterates over all outcomes. `DISTANCE + STEP`
/// bounds the number of events that are read for their outcomes when a store is opened.
const STEP: u64 = 16_384;

impl Row {
    /// Returns true if the row is not stored because an event above `watermark` contains the
    /// outcome.
    #[must_use]
    pub fn is_derived(&self, watermark: Revision) -> bool {
        match self {
            Self::Outcome(_, Some(outcome)) => is_derived(outcome, watermark),
            _ => false,
        }
    }
}

/// Derives the outcome of the request whose change set ends with this event. Returns `None` if the
/// event is not the last of its change set, or does not originate from an operator.
#[must_use]
pub fn derive(record: &EventRecord) -> Option<(RequestId, Outcome)> {
    let Origin::Operator { request, digest, .. } = &record.origin else { return None };
    let base = Revision(record.change.0.checked_sub(1)?);
    let revision = record.change_end;
    let outcome = Outcome { digest: *digest, verdict: Verdict::Accepted, base, revision };
    (record.revision == revision).then_some((*request, outcome))
}

fn is_derived(outcome: &Outcome, watermark: Revision) -> bool {
    let has_events = outcome.base < outcome.revision && outcome.verdict == Verdict::Accepted;
    has_events && outcome.revision > watermark
}

/// Returns the next watermark, above which outcomes are derived from events. `current` is the
/// present one, `newest` the last event; the rows of events up to `trimmed` are removed.
#[must_use]
pub fn advance(current: Revision, newest: Revision, trimmed: Revision) -> Revision {
    let target = Revision(newest.0.saturating_sub(DISTANCE));
    let due = target.0.saturating_sub(current.0) >= STEP;
    current.max(trimmed).max(if due { target } else { current })
}

/// Returns the keys of the outcomes that need a row when the watermark advances from `before` to
/// `after`.
pub fn no_longer_derived(
    state: &State,
    before: Revision,
    after: Revision,
) -> impl Iterator<Item = Key> + '_ {
    let outcomes = state.outcomes.by_request.iter();
    outcomes
        .filter(move |(_, outcome)| is_derived(outcome, before) && !is_derived(outcome, after))
        .map(|(request, _)| Key::Outcome(*request))
}
