//! The Raft log, in memory: writes are visible immediately, and durable in their order a while
//! after a sync was started.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::Range;
use std::time::Duration;

use meridian_storage::disk::entry::{Position, StoredEntry, StoredVote};
use meridian_storage::disk::journal::{Bounds, Journal, SyncCallback};
use tokio::time::sleep;

use super::Disk;
use crate::trace;

/// Interval at which a sync that hangs checks whether the disk responds.
const HANG_POLL: Duration = Duration::from_millis(10);

/// A log operation. A torn one has no effect, because records have checksums.
#[derive(Debug, Clone)]
enum Record {
    Vote(StoredVote),
    Append(StoredEntry),
    Committed(Position),
    Truncate(Option<Position>),
    Purge(Position),
}

/// The result of all operations.
#[derive(Debug, Clone, Default)]
struct Log {
    bounds: Bounds,
    entries: BTreeMap<u64, StoredEntry>,
}

/// The log as stored on the disk.
#[derive(Debug, Default)]
pub(super) struct Stored {
    durable: Log,
    unsynced: VecDeque<Record>,
    /// Number of records that ever became durable.
    synced: u64,
}

impl Stored {
    pub(super) fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// Keeps the first `records` unsynced records.
    pub(super) fn crash(&mut self, records: usize) {
        let kept: Vec<_> = std::mem::take(&mut self.unsynced).into_iter().take(records).collect();
        self.synced += kept.len() as u64;
        kept.into_iter().for_each(|record| self.durable.apply(record));
    }

    fn sync_through(&mut self, number: u64) {
        while self.synced < number
            && let Some(record) = self.unsynced.pop_front()
        {
            self.durable.apply(record);
            self.synced += 1;
        }
    }
}

impl Log {
    fn apply(&mut self, record: Record) {
        let Bounds { vote, committed, purged, last } = &mut self.bounds;
        match record {
            Record::Vote(saved) => *vote = Some(saved),
            Record::Append(entry) => {
                *last = Some(entry.position);
                self.entries.insert(entry.position.index, entry);
            }
            Record::Committed(position) => *committed = Some(position),
            Record::Truncate(to) => {
                self.entries.split_off(&to.map_or(0, |position| position.index + 1));
                *last = to;
            }
            Record::Purge(upto) => {
                self.entries = self.entries.split_off(&(upto.index + 1));
                *purged = Some(upto);
                *last = (*last).filter(|last| last.index > upto.index).or(Some(upto));
            }
        }
    }
}

/// The log of one process run of an agent.
#[derive(Debug)]
pub struct SimJournal {
    disk: Disk,
    process_run: u64,
    log: Log,
}

impl SimJournal {
    pub(super) fn open(disk: Disk) -> Self {
        let (process_run, log) = {
            let inner = disk.inner();
            (inner.process_run, inner.journal.durable.clone())
        };
        Self { disk, process_run, log }
    }

    fn write(&mut self, record: Record) -> io::Result<()> {
        let mut disk = self.disk.inner();
        if disk.process_run != self.process_run {
            return Err(io::Error::other("the process run has ended"));
        }
        disk.journal.unsynced.push_back(record.clone());
        drop(disk);
        self.log.apply(record);
        Ok(())
    }
}

impl Journal for SimJournal {
    fn bounds(&self) -> Bounds {
        self.log.bounds
    }

    fn read(&self, range: Range<u64>, max_bytes: usize) -> io::Result<Vec<StoredEntry>> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        if range.is_empty() {
            return Ok(entries);
        }
        for entry in self.log.entries.range(range).map(|(_, entry)| entry) {
            bytes += entry.payload_bytes();
            if bytes > max_bytes && !entries.is_empty() {
                break;
            }
            entries.push(entry.clone());
        }
        Ok(entries)
    }

    fn save_vote(&mut self, vote: StoredVote) -> io::Result<()> {
        if self.log.bounds.vote > Some(vote) {
            return Err(io::Error::other(format!("{vote} is lower than the saved vote")));
        }
        self.write(Record::Vote(vote))
    }

    fn append(&mut self, entries: Vec<StoredEntry>) -> io::Result<()> {
        for entry in entries {
            let next = self.log.bounds.last.map_or(0, |last| last.index + 1);
            if entry.position.index != next {
                let at = entry.position;
                return Err(io::Error::other(format!("{at} leaves a gap after {next}")));
            }
            self.write(Record::Append(entry))?;
        }
        Ok(())
    }

    fn save_committed(&mut self, committed: Position) -> io::Result<()> {
        let Bounds { committed: known, last, .. } = self.log.bounds;
        if known >= Some(committed) || Some(committed) > last {
            return Ok(());
        }
        self.write(Record::Committed(committed))
    }

    fn truncate_after(&mut self, last: Option<Position>) -> io::Result<()> {
        let Bounds { committed, last: present, .. } = self.log.bounds;
        if present.map(|position| position.index) <= last.map(|position| position.index) {
            return Ok(());
        }
        if committed.map(|position| position.index) > last.map(|position| position.index) {
            return Err(io::Error::other("refusing to truncate a committed entry"));
        }
        self.write(Record::Truncate(last))
    }

    fn purge(&mut self, upto: Position) -> io::Result<()> {
        self.write(Record::Purge(upto))
    }

    fn sync(&mut self, done: SyncCallback) -> io::Result<()> {
        let (disk, process_run) = (self.disk.clone(), self.process_run);
        let (latency, through) = {
            let mut inner = disk.inner();
            let through = inner.journal.synced + inner.journal.unsynced() as u64;
            (inner.latency(), through)
        };
        tokio::spawn(async move {
            let started = trace::now();
            sleep(latency).await;
            while disk.inner().hangs(process_run, started) {
                sleep(HANG_POLL).await;
            }
            let result = {
                let mut inner = disk.inner();
                if inner.broken || inner.process_run != process_run {
                    Err(io::Error::other("simulated disk failure"))
                } else {
                    inner.journal.sync_through(through);
                    Ok(())
                }
            };
            done.complete(result);
        });
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        let mut disk = self.disk.inner();
        if disk.broken || disk.process_run != self.process_run {
            return Err(io::Error::other("simulated disk failure"));
        }
        disk.journal.sync_through(u64::MAX);
        Ok(())
    }

    fn blocks(&self) -> bool {
        false
    }
}
