//! Reads the rows that the position points at, and checks that they add up.

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
use crate::rows::{self, KeyRange, Row, SEGMENT_EVENTS, told};

/// Rows that are read at once.
const PAGE_ROWS: usize = 4_096;

/// The greatest number that is believed, of events, and of what a snapshot that is installed takes one
/// of: no node ever comes near.
const MOST_NUMBER: u64 = u64::MAX >> 1;

/// The value of a single row.
pub(super) fn single<T: Stored>(
    database: &dyn Database,
    key: &[u8],
    what: &'static str,
) -> Result<Option<T>, OpenError> {
    let value = database.get(key)?;
    value
        .map(|value| codec::decode(&value).map_err(|cause| OpenError::Single { what, cause }))
        .transpose()
}

/// The state and the end of the event log that the position points at.
pub(super) fn load(database: &dyn Database) -> Result<(State, Tail), OpenError> {
    let position: Option<Position> = single(database, rows::POSITION_KEY, "its position")?;
    let members = Members::read(database)?.transpose();
    let members = members.map_err(|cause| OpenError::Single { what: "its membership", cause })?;
    let impossible = |what| Err(OpenError::Impossible { what });
    if let Some(Position { epoch, history, revision, told_after, .. }) = position
        && [epoch, history, revision.0, told_after.0].into_iter().max() > Some(MOST_NUMBER)
    {
        return impossible("the number of its rows or of its events");
    }
    let (position, state) = match position {
        Some(position) => {
            let state = load_state(database, &position)?;
            (position, state)
        }
        None => (Position::default(), State::default()),
    };
    if state.header.trimmed > position.revision {
        return impossible("that more events are trimmed than there were");
    }
    let membership = members.map(StoredMembershipOf::<TypeConfig>::try_from).transpose()?;
    let tail = Tail {
        log: load_log(database, &position, state.header.trimmed)?,
        applied: position.applied.map(Into::into),
        membership: membership.unwrap_or_default(),
        epoch: position.epoch,
        installed: position.installed,
        told_after: position.told_after,
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
            Some((last, _)) if page.len() == PAGE_ROWS => start = after(last),
            _ => break,
        }
    }
    found += tell_outcomes(database, position, &mut state)?;
    let revision = state.header.revision;
    if found != position.rows || revision != position.revision {
        return Err(OpenError::Incomplete {
            found,
            revision,
            wanted: position.rows,
            wanted_revision: position.revision,
        });
    }
    Ok(state)
}

/// Adds the outcomes that events tell, and returns how many.
fn tell_outcomes(
    database: &dyn Database,
    position: &Position,
    state: &mut State,
) -> io::Result<u64> {
    let mut told = 0;
    let Outcomes { by_request, forgotten } = &mut state.outcomes;
    let Position { history, told_after, revision, .. } = *position;
    stored::for_each(database, history, told_after, revision, |revision, event| {
        let outcome = told::outcome(&event.decode(revision)?);
        let outcome = outcome.filter(|(request, _)| Some(*request) > *forgotten);
        if let Some((request, outcome)) = outcome {
            told += u64::from(by_request.insert(request, outcome).is_none());
        }
        Ok(())
    })?;
    Ok(told)
}

/// The least key behind `key`.
fn after(key: &[u8]) -> Vec<u8> {
    [key, b"\0"].concat()
}

fn load_log(
    database: &dyn Database,
    position: &Position,
    trimmed: Revision,
) -> Result<EventLog, OpenError> {
    let Position { history, revision, chain, .. } = *position;
    let kept_after = trimmed_rows(trimmed);
    let mut segments = Vec::new();
    for segment in 0..revision.0 / SEGMENT_EVENTS {
        let end: Option<SegmentEnd> =
            single(database, &rows::segment_key(history, segment), "a segment's hash")?;
        let end = end.ok_or(OpenError::Segment { segment })?.chain;
        let last = Revision((segment + 1) * SEGMENT_EVENTS);
        if last > kept_after {
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
    let from = Revision(segment * SEGMENT_EVENTS).max(kept_after);
    let before = event_log::chain_before_segment(&segments, from.0 / SEGMENT_EVENTS);
    let found = follow_chain(database, history, from, revision, before)?;
    if found != chain {
        return Err(BrokenEvent::Chain { revision, expected: found }.into());
    }
    let mut log = EventLog::stored(history, revision, chain, segments);
    log.trimmed = trimmed;
    Ok(log)
}

/// The chain hash at `through`, following the stored events behind `from`, whose hash is `chain`.
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
