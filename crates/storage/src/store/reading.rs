//! Reads events: the newest from memory, older ones from the database.

use std::io;

use bytes::Bytes;
use error_reporter::Report;
use meridian_domain::{Digest, EventRecord, Revision};
use meridian_ports::HistoryError;

use super::Core;
use crate::event_log::{Source, StoredEvent, stored, trimmed_rows};

/// Maximum size in bytes of the stored events in one message of a snapshot.
const MESSAGE_BYTES: usize = 256 << 10;
/// Maximum number of events per read from the database.
const PAGE_EVENTS: usize = 512;

impl Core {
    /// See [`super::Store::events`].
    pub(super) fn events(
        &self,
        from: Revision,
        limit: usize,
    ) -> Result<Vec<EventRecord>, HistoryError> {
        let trimmed = self.tail().log.trimmed;
        if trimmed > Revision(0) && from <= trimmed {
            return Err(HistoryError::Trimmed { from, oldest: trimmed.next() });
        }
        let mut records = Vec::new();
        let mut next = from.max(Revision(1));
        while records.len() < limit {
            let page = self.page(next, (limit - records.len()).min(PAGE_EVENTS))?;
            if page.is_empty() {
                break;
            }
            for event in page {
                records.push(event.decode(next).map_err(|error| self.unreadable(error))?);
                next = next.next();
            }
        }
        Ok(records)
    }

    /// See [`super::Store::stored_events`].
    pub(super) fn stored_events(
        &self,
        from: Revision,
        through: Revision,
    ) -> Result<Vec<Bytes>, HistoryError> {
        let oldest = trimmed_rows(self.tail().log.trimmed).next();
        if from < oldest {
            return Err(HistoryError::Trimmed { from, oldest });
        }
        let wanted = usize::try_from((through.0 + 1).saturating_sub(from.0)).unwrap_or(usize::MAX);
        let mut records = Vec::new();
        let mut bytes = 0;
        for event in self.page(from, wanted.min(PAGE_EVENTS))? {
            bytes += event.row().len();
            if bytes > MESSAGE_BYTES && !records.is_empty() {
                break;
            }
            records.push(event.record());
        }
        Ok(records)
    }

    /// Returns the chain hash at `revision`. Returns `None` if it is beyond the log, or its row is
    /// trimmed.
    pub(crate) fn chain_at(&self, revision: Revision) -> Result<Option<Digest>, HistoryError> {
        {
            let log = &self.tail().log;
            if revision > log.revision {
                return Ok(None);
            }
            if let Some(chain) = log.chain_at(revision) {
                return Ok(Some(chain));
            }
            if revision <= trimmed_rows(log.trimmed) {
                return Ok(None);
            }
        }
        Ok(self.page(revision, 1)?.first().map(StoredEvent::chain))
    }

    /// Returns up to `limit` events from `from` on; empty only if there are no more.
    fn page(&self, from: Revision, limit: usize) -> Result<Vec<StoredEvent>, HistoryError> {
        loop {
            let (history, end) = match self.tail().log.locate(from, limit) {
                Source::Memory(events) => return Ok(events),
                Source::Database(history, end) => (history, end),
            };
            let error = match self.stored_page(history, from, end, limit) {
                Ok(events) => return Ok(events),
                Err(error) => error,
            };
            // A snapshot that was installed meanwhile may have replaced this history, or trimmed
            // it. Then the read is retried.
            let log = &self.tail().log;
            if trimmed_rows(log.trimmed) >= from {
                return Err(HistoryError::Trimmed { from, oldest: log.trimmed.next() });
            }
            if log.history == history {
                return Err(self.unreadable(error));
            }
        }
    }

    fn stored_page(
        &self,
        history: u64,
        from: Revision,
        end: Revision,
        limit: usize,
    ) -> io::Result<Vec<StoredEvent>> {
        let end = end.0.min(from.0.saturating_add(limit as u64));
        let (before, last) = (from.0.saturating_sub(1), end.saturating_sub(1));
        let mut events = Vec::new();
        stored::for_each(
            &*self.database,
            history,
            Revision(before),
            Revision(last),
            |_, event| {
                events.push(event);
                Ok(())
            },
        )?;
        Ok(events)
    }

    fn unreadable(&self, error: impl Into<io::Error>) -> HistoryError {
        let location = self.database.location();
        let failure = format!(
            "cannot read the event log in {location}; if the disk is healthy, wipe the data \
             directory and join as a new node"
        );
        let error = self.fail(&failure, error);
        HistoryError::Storage { cause: Report::new(&error).to_string() }
    }
}
