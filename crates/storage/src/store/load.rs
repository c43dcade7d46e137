//! Loads the rows that the position names, and checks their consistency.

use std::collections::VecDeque;
use std::io;

use meridian_domain::outcome::Outcomes;
use meridian_domain::{Digest, Revision, State};
use openraft::alias::StoredMembershipOf;

use super::Tail;
use super::error::OpenError;
use crate::codec::{self, Stored};
use crate::disk::database::Database;
use crate::event_log::{self, BrokenEvent, EventLog, stored, trimmed_rows};
use crate::raft::TypeConfig;
use crate::rows::position::{Members, Position, SegmentEnd};
use crate::rows::{self, KeyRange, Row, SEGMENT_EVENTS, outcome_watermark};

/// Number of rows per read.
const PAGE_ROWS: usize = 4_096;

/// Maximum plausible number of an epoch, a history or a revision: no node ever comes near it.
const MAX_NUMBER: u64 = u64::MAX >> 1;

/// Returns the value of a metadata row.
pub(super) fn single<T: Stored>(
    database: &dyn Database,
    key: &[u8],
    row: &'static str,
) -> Result<Option<T>, OpenError> {
    let value = database.get(key)?;
    value
        .map(|value| codec::decode(&value).map_err(|cause| OpenError::Single { row, cause }))
        .transpose()
}

/// Loads the state and the end of the event log that the position names.
pub(super) fn load(database: &dyn Database) -> Result<(State, Tail), OpenError> {
    let position: Option<Position> = single(database, rows::POSITION_KEY, "the position")?;
    let members = Members::read(database)?.transpose();
    let members = members.map_err(|cause| OpenError::Single { row: "the membership", cause })?;
    let invalid = |what| Err(OpenError::Invalid { what });
    if let Some(Position { epoch, history, revision, outcome_watermark, .. }) = position
        && [epoch, history, revision.0, outcome_watermark.0].into_iter().max() > Some(MAX_NUMBER)
    {
        return invalid("position: number out of range");
    }
    let (position, state) = match position {
        Some(position) => {
            let state = load_state(database, &position)?;
            (position, state)
        }
        None => (Position::default(), State::default()),
    };
    if state.header.trimmed > position.revision {
        return invalid("state header: more events are trimmed than exist");
    }
    let membership = members.map(StoredMembershipOf::<TypeConfig>::try_from).transpose()?;
    let tail = Tail {
        log: load_log(database, &position, state.header.trimmed)?,
        applied: position.applied.map(Into::into),
        membership: membership.unwrap_or_default(),
        epoch: position.epoch,
        installed: position.installed,
        outcome_watermark: position.outcome_watermark,
        unflushed: VecDeque::new(),
        digest: None,
    };
    Ok((state, tail))
}

fn load_state(database: &dyn Database, position: &Position) -> Result<State, OpenError> {
    let mut state = State::default();
    let prefix = rows::state_key(position.epoch, &[]).len();
    let KeyRange { mut start, end } = rows::state_keys(position.epoch..position.epoch + 1);
    let mut found = 0_u64;
    loop {
        let page = database.scan(&start, &end, PAGE_ROWS)?;
        found += page.len() as u64;
        for (key, value) in &page {
            Row::decode(&key[prefix..], value)?.put(&mut state);
        }
        match page.last() {
            Some((last, _)) if page.len() == PAGE_ROWS => start = next_key(last),
            _ => break,
        }
    }
    found += derive_outcomes(database, position, &mut state)?;
    let revision = state.header.revision;
    if found != position.rows || revision != position.revision {
        return Err(OpenError::Incomplete {
            found,
            revision,
            expected: position.rows,
            expected_revision: position.revision,
        });
    }
    Ok(state)
}

/// Adds the outcomes that are derived from events, and returns their number.
fn derive_outcomes(
    database: &dyn Database,
    position: &Position,
    state: &mut State,
) -> io::Result<u64> {
    let mut derived = 0;
    let Outcomes { by_request, forgotten } = &mut state.outcomes;
    let Position { history, outcome_watermark, revision, .. } = *position;
    stored::for_each(database, history, outcome_watermark, revision, |revision, event| {
        let outcome = outcome_watermark::derive(&event.decode(revision)?);
        let outcome = outcome.filter(|(request, _)| Some(*request) > *forgotten);
        if let Some((request, outcome)) = outcome {
            derived += u64::from(by_request.insert(request, outcome).is_none());
        }
        Ok(())
    })?;
    Ok(derived)
}

/// Returns the smallest key greater than `key`.
fn next_key(key: &[u8]) -> Vec<u8> {
    [key, b"\0"].concat()
}

fn load_log(
    database: &dyn Database,
    position: &Position,
    trimmed: Revision,
) -> Result<EventLog, OpenError> {
    let Position { history, revision, chain, .. } = *position;
    let removed = trimmed_rows(trimmed);
    let mut segments = Vec::new();
    for segment in 0..revision.0 / SEGMENT_EVENTS {
        let end: Option<SegmentEnd> =
            single(database, &rows::segment_key(history, segment), "a segment hash")?;
        let end = end.ok_or(OpenError::Segment { segment })?.chain;
        let last = Revision((segment + 1) * SEGMENT_EVENTS);
        if last > removed {
            let row = database.get(&rows::event_key(history, last))?;
            let row = row.ok_or(BrokenEvent::Missing { revision: last })?;
            let found = stored::read(last, row)?.pop().map(|(_, event)| event.chain());
            if found != Some(end) {
                return Err(OpenError::Segment { segment });
            }
        }
        segments.push(end);
    }
    let segment = revision.0.saturating_sub(1) / SEGMENT_EVENTS;
    let from = Revision(segment * SEGMENT_EVENTS).max(removed);
    let before = event_log::chain_before_segment(&segments, from.0 / SEGMENT_EVENTS);
    let found = follow_chain(database, history, from, revision, before)?;
    if found != chain {
        return Err(BrokenEvent::Chain { revision, expected: found }.into());
    }
    let mut log = EventLog::stored(history, revision, chain, segments);
    log.trimmed = trimmed;
    Ok(log)
}

/// Computes the chain hash at `through` from the stored events after `from`, whose chain hash is
/// `chain`. Checks every event on the way.
pub(super) fn follow_chain(
    database: &dyn Database,
    history: u64,
    from: Revision,
    through: Revision,
    mut chain: Digest,
) -> io::Result<Digest> {
    stored::for_each(database, history, from, through, |revision, event| {
        event.decode(revision)?;
        chain = event.check(revision, &chain)?;
        Ok(())
    })?;
    Ok(chain)
}
