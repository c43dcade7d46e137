//! Rows of events. Consecutive events that are written together share a row, because the overhead
//! of a row exceeds the size of an event.
//!
//! The key of a row names its last event, so the first row at or after the key of an event contains
//! that event. No row spans two segments, because events are removed by whole segments.

use std::io;

use bytes::Bytes;
use meridian_domain::Revision;

use super::{BrokenEvent, StoredEvent};
use crate::codec;
use crate::disk::database::{Batch, COMBINED_VALUE_BYTES, Database};
use crate::rows::position::SegmentEnd;
use crate::rows::{self, HASH_BYTES, SEGMENT_EVENTS};

/// Number of rows per read.
const PAGE_ROWS: usize = 64;

/// Adds the rows of `events`, which must be contiguous, to `batch`. Each event up to `single` gets
/// its own row.
pub fn write(
    batch: &mut Batch,
    history: u64,
    events: &[(Revision, StoredEvent)],
    single: Revision,
) {
    let mut row = Vec::new();
    let mut events = events.iter().peekable();
    while let Some((revision, event)) = events.next() {
        row.extend_from_slice(event.row());
        let ends = *revision <= single || revision.0.is_multiple_of(SEGMENT_EVENTS);
        let fits = |next: &StoredEvent| row.len() + next.row().len() <= COMBINED_VALUE_BYTES;
        if ends || !events.peek().is_some_and(|(_, next)| fits(next)) {
            batch.insert(rows::event_key(history, *revision), std::mem::take(&mut row));
        }
    }
}

/// Adds the segment hash to `batch` if `event`, with this revision, is the last one of its segment.
pub fn write_segment_end(batch: &mut Batch, history: u64, revision: Revision, event: &StoredEvent) {
    if revision.0.is_multiple_of(SEGMENT_EVENTS) {
        let segment = revision.0 / SEGMENT_EVENTS - 1;
        let end = SegmentEnd { chain: event.chain() };
        batch.insert(rows::segment_key(history, segment), codec::encode(&end));
    }
}

/// Returns the events of a row, the last of which is `last`.
///
/// # Errors
/// If the row does not consist of complete events. Their content is not checked.
pub fn read(last: Revision, row: Vec<u8>) -> Result<Vec<(Revision, StoredEvent)>, BrokenEvent> {
    let short = || BrokenEvent::Short { revision: last };
    let mut rest = Bytes::from(row);
    let mut events = Vec::new();
    while !rest.is_empty() {
        let bytes = codec::envelope_bytes(&rest).ok_or_else(short)? + HASH_BYTES;
        if bytes > rest.len() {
            return Err(short());
        }
        events.push(StoredEvent(rest.split_to(bytes)));
    }
    if events.is_empty() {
        return Err(short());
    }
    let before = last.0.checked_sub(events.len() as u64).ok_or_else(short)?;
    Ok((before + 1..=last.0).map(Revision).zip(events).collect())
}

/// Calls `visit` with the events of the database after `from`, up to and including `through`, in
/// order.
///
/// # Errors
/// If an event is missing or truncated, `visit` fails, or the database cannot be read.
pub fn for_each(
    database: &dyn Database,
    history: u64,
    from: Revision,
    through: Revision,
    mut visit: impl FnMut(Revision, StoredEvent) -> Result<(), BrokenEvent>,
) -> io::Result<()> {
    let end = rows::event_keys(history..history + 1).end;
    let mut next = from.next();
    while next <= through {
        let page = database.scan(&rows::event_key(history, next), &end, PAGE_ROWS)?;
        if page.is_empty() {
            return Err(BrokenEvent::Missing { revision: next }.into());
        }
        for (key, row) in page {
            let last = rows::event_of_key(&key);
            for (revision, event) in read(last, row)? {
                if revision < next {
                    continue;
                }
                if next > through {
                    return Ok(());
                }
                if revision > next {
                    return Err(BrokenEvent::Missing { revision: next }.into());
                }
                visit(next, event)?;
                next = next.next();
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use meridian_domain::{Digest, Event, EventRecord, Origin, Timestamp};

    use super::*;
    use crate::disk::memory_database::MemoryDatabase;

    fn events(revisions: std::ops::RangeInclusive<u64>) -> Vec<(Revision, StoredEvent)> {
        let event = |revision| EventRecord {
            revision,
            change: revision,
            change_end: revision,
            time: Timestamp(1),
            origin: Origin::System,
            event: Event::HistoryTrimmed { through: Revision(1) },
        };
        let stored =
            |revision| StoredEvent::following(&Digest::default(), codec::encode(&event(revision)));
        revisions.map(Revision).map(|revision| (revision, stored(revision))).collect()
    }

    fn rows(batch: &Batch) -> Vec<u64> {
        batch.changes.iter().map(|(key, _)| rows::event_of_key(key).0).collect()
    }

    #[test]
    fn a_row_ends_at_the_end_of_its_segment_or_at_its_size_limit() {
        let mut batch = Batch::default();
        write(&mut batch, 3, &events(4_090..=4_100), Revision(4_091));
        assert_eq!(rows(&batch), [4_090, 4_091, 4_096, 4_100]);
        let mut batch = Batch::default();
        write(&mut batch, 3, &events(1..=1_000), Revision(0));
        let bytes = batch.changes.iter().map(|(_, row)| row.as_ref().map_or(0, Vec::len));
        assert!(bytes.clone().all(|bytes| bytes <= COMBINED_VALUE_BYTES) && bytes.count() < 150);
    }

    #[test]
    fn events_are_found_inside_rows_and_among_staged_rows() {
        let database = MemoryDatabase::new();
        let all = events(1..=500);
        for (events, single) in [(&all[..200], 0), (&all[200..300], 300), (&all[200..], 300)] {
            let mut batch = Batch::default();
            write(&mut batch, 0, events, Revision(single));
            database.write(batch).expect("can be written");
        }
        for (from, through) in [(0, 500), (7, 9), (150, 450), (299, 301), (500, 500)] {
            let mut found = Vec::new();
            for_each(&database, 0, Revision(from), Revision(through), |revision, event| {
                found.push((revision, event));
                Ok(())
            })
            .expect("they exist");
            let (from, through) = (from as usize, through as usize);
            assert_eq!(found, all[from..through]);
        }
        let nothing = |_, _| Ok(());
        for_each(&database, 0, Revision(499), Revision(501), nothing).expect_err("does not exist");
        for_each(&database, 1, Revision(0), Revision(1), nothing).expect_err("does not exist");
    }

    #[test]
    fn a_truncated_row_is_detected() {
        let mut batch = Batch::default();
        write(&mut batch, 0, &events(1..=2), Revision(0));
        let row = batch.changes.remove(0).1.expect("is written");
        for length in 1..row.len() {
            let cut = read(Revision(2), row[..length].to_vec());
            assert!(cut.is_err() || length == row.len() / 2, "{length} bytes were accepted");
        }
        assert!(read(Revision(1), row).is_err(), "two events cannot end with the first");
    }
}
