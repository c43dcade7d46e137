//! Applies a range of entries: first in memory, for all readers at the same time, then as rows for
//! the writer.

use std::collections::BTreeSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use meridian_domain::{Entry, Revision, State, evolve};
use openraft::EntryPayload;
use openraft::alias::{EntryOf, StoredMembershipOf};
use openraft::storage::{ApplyResponder, EntryResponder};
use tokio::sync::mpsc::Permit;

use crate::codec::{self, DecodeError};
use crate::disk::database::Batch;
use crate::event_log::{StoredEvent, removable_keys, stored, trimmed_rows};
use crate::fuse::panic_message;
use crate::planted::{Bug, planted};
use crate::raft::{Applied, Payload, TypeConfig};
use crate::rows::position::Members;
use crate::rows::{self, Key, Row, outcome_watermark, touched};
use crate::store::writer::{AppliedRange, Job};
use crate::store::{Core, Tail};

/// An entry of the log cannot be applied. Every node with the entry stops.
#[derive(Debug, thiserror::Error)]
enum ApplyError {
    #[error("cannot decode the entry at log index {index}")]
    Unreadable {
        index: u64,
        #[source]
        cause: DecodeError,
    },
    #[error("the entry at log index {index} does not apply to the state: {panic}")]
    Inapplicable { index: u64, panic: String },
    #[error("cannot read the Raft log")]
    Log(#[source] io::Error),
}

/// Changes of the entries of a range.
#[derive(Default)]
struct Changes {
    index: Option<u64>,
    rows: BTreeSet<Key>,
    events: Vec<(Revision, StoredEvent)>,
    membership: bool,
    trimmed: bool,
    responses: Vec<(ApplyResponder<TypeConfig>, Applied)>,
}

/// Applies `entries`, sends their responses, and passes their rows to the writer through `slot`. If
/// an entry cannot be applied, the entries before it are applied, nothing of it is, and the node
/// stops.
pub(super) fn apply(
    core: &Core,
    entries: Vec<io::Result<EntryResponder<TypeConfig>>>,
    slot: Permit<'_, Job>,
) -> io::Result<()> {
    core.fuse.check()?;
    let started = Instant::now();
    let mut changes = Changes::default();
    let result = {
        let mut state = core.state_mut();
        let mut tail = core.tail();
        let result =
            entries.into_iter().try_for_each(|entry| changes.add(&mut state, &mut tail, entry));
        changes.advance_outcome_watermark(&state, &mut tail);
        if let Some(index) = changes.index {
            let revision = tail.log.revision;
            tail.unflushed.push_back((index, revision));
        }
        result
    };
    core.publish();
    let responses = std::mem::take(&mut changes.responses);
    responses.into_iter().for_each(|(responder, applied)| responder.send(applied));
    metrics::histogram!("meridian_apply_duration_seconds").record(started.elapsed());
    if let Some(index) = changes.index {
        metrics::gauge!("meridian_derived_backlog_ranges").increment(1.0);
        slot.send(Job::Range(changes.into_range(core, index)));
    }
    result.map_err(|error| core.fail("cannot apply the log", io::Error::other(error)))
}

impl Changes {
    fn add(
        &mut self,
        state: &mut State,
        tail: &mut Tail,
        entry: io::Result<EntryResponder<TypeConfig>>,
    ) -> Result<(), ApplyError> {
        let (entry, responder) = entry.map_err(ApplyError::Log)?;
        let EntryOf::<TypeConfig> { log_id, payload } = entry;
        let applied = match payload {
            EntryPayload::Blank => Applied::Nothing,
            EntryPayload::Membership(membership) => {
                tail.membership = StoredMembershipOf::<TypeConfig>::new(Some(log_id), membership);
                self.membership = true;
                Applied::Nothing
            }
            EntryPayload::Normal(payload) => self.add_entry(state, tail, log_id.index, &payload)?,
        };
        tail.applied = Some(log_id);
        self.index = Some(log_id.index);
        self.responses.extend(responder.map(|responder| (responder, applied)));
        Ok(())
    }

    fn add_entry(
        &mut self,
        state: &mut State,
        tail: &mut Tail,
        index: u64,
        payload: &Payload,
    ) -> Result<Applied, ApplyError> {
        let mut entry: Entry =
            codec::decode(&payload.0).map_err(|cause| ApplyError::Unreadable { index, cause })?;
        if planted(Bug::ApplyWithoutBaseCheck) {
            entry.base = state.header.revision;
        }
        let clears_outcomes = touched::clears_outcomes(state, &entry);
        let touched = touched::by_entry(state, &entry);
        let before: Vec<Row> = touched.iter().map(|key| Row::of(state, key)).collect();
        match evolve_or_restore(state, &entry, &before) {
            Err(panic) => return Err(ApplyError::Inapplicable { index, panic }),
            Ok(Err(mismatch)) => {
                tracing::info!(index, %mismatch, "entry rejected on every node");
                return Ok(Applied::Rejected);
            }
            Ok(Ok(())) => {}
        }
        if clears_outcomes {
            tracing::warn!(index, "cleared the outcomes of requests, which were from the future");
            // An outcome that was cleared must not be derived again from its events.
            tail.outcome_watermark = tail.outcome_watermark.max(entry.base);
        }
        for record in entry.records() {
            self.events.push((record.revision, tail.log.append(&record)));
        }
        // Outcomes are immutable: one that had no row needs no change of a row, even when it is
        // forgotten.
        let written = touched.into_iter().zip(&before);
        let written = written.filter(|(_, row)| !row.is_derived(tail.outcome_watermark));
        self.rows.extend(written.map(|(key, _)| key));
        self.trimmed |= tail.log.trimmed != state.header.trimmed;
        tail.log.trimmed = state.header.trimmed;
        tail.digest = None;
        Ok(Applied::Entry(state.header.revision))
    }

    /// Advances the outcome watermark, and adds the rows of the outcomes that are no longer
    /// derived.
    fn advance_outcome_watermark(&mut self, state: &State, tail: &mut Tail) {
        let (before, trimmed) = (tail.outcome_watermark, trimmed_rows(tail.log.trimmed));
        let after = outcome_watermark::advance(before, tail.log.revision, trimmed);
        if before != after {
            self.rows.extend(outcome_watermark::no_longer_derived(state, before, after));
            tail.outcome_watermark = after;
        }
    }

    /// Returns the rows of the range. The state does not change meanwhile: openraft applies one
    /// range after another.
    fn into_range(self, core: &Core, index: u64) -> AppliedRange {
        let mut batch = Batch::default();
        let state = core.state();
        let tail = core.tail();
        let history = tail.log.history;
        // Every state has a header row, even before its first event.
        for key in self.rows.union(&BTreeSet::from([Key::Header])) {
            let row = Row::of(&state, key);
            if row.is_derived(tail.outcome_watermark) {
                continue;
            }
            let key = rows::state_key(tail.epoch, &key.bytes());
            match row.value() {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        for (revision, event) in &self.events {
            stored::write_segment_end(&mut batch, history, *revision, event);
        }
        if self.membership {
            Members::from(&tail.membership).write(&mut batch);
        }
        batch.insert(rows::POSITION_KEY, codec::encode(&tail.position(&state)));
        AppliedRange {
            index,
            revision: tail.log.revision,
            batch,
            history,
            events: self.events,
            trimmed: self.trimmed.then(|| removable_keys(history, tail.log.trimmed)),
            ranges: 1,
        }
    }
}

/// Applies the entry to the state. On a panic, restores the rows `before` and returns the panic
/// message.
fn evolve_or_restore(
    state: &mut State,
    entry: &Entry,
    before: &[Row],
) -> Result<Result<(), evolve::BaseMismatch>, String> {
    catch_unwind(AssertUnwindSafe(|| evolve::apply(state, entry))).map_err(|panic| {
        before.iter().cloned().for_each(|row| row.put(state));
        panic_message(panic.as_ref()).to_owned()
    })
}
