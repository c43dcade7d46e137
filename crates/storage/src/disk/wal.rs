//! The Raft log on disk: raft-log, and what it has to be protected from.
//!
//! # Layout
//!
//! ```text
//! raft-log/r-<offset>.wal   chunks; each begins with a checkpoint of the whole log's bounds, and
//!                           goes on with records of votes, entries, commits, truncations, purges
//! raft-log/LOCK             raft-log's own lock; ours on the data directory comes first
//! mark                      see [`crate::disk::mark`]
//! ```
//!
//! `wal/record.rs` describes what the records carry. A chunk is removed once all its entries are
//! purged.
//!
//! # When something is durable
//!
//! raft-log's own thread writes and syncs; [`Journal::sync`] hands it everything since the last
//! call and returns. The log store calls it again only when the sync before is done, so entries
//! that come meanwhile are synced together, and a single one goes from the caller to the disk with
//! one change of threads each way. A thread of our own between the two, the usual way to group,
//! made a lone append 10 to 30 microseconds slower (medians of 0.15 and 0.16 ms on an idle machine,
//! 0.29 and 0.32 ms on a busy one), and grouped ones no faster beyond the noise.
//!
//! # What is checked when it is opened
//!
//! 1. The mark is there if the log is, and belongs to this node.
//! 2. The end of the log is whole, or torn with nothing behind it (`wal/tail.rs`); only then is it
//!    cut.
//! 3. Everything before is whole: each record has a checksum, and so has what it carries.
//! 4. Entries run without a gap from the purged one to the last.
//! 5. The log reaches the mark, with the same entry there and no older vote.
//! 6. Everything read is synced, before anything rests on it: an earlier life of the process may
//!    have written it without.
//!
//! # The mark
//!
//! It is moved when a vote was saved, before the vote counts; at the latest a second after entries
//! became durable, by a thread of its own; before a truncation that it would contradict; when the
//! log is closed. An append never waits for it.
//!
//! What remains undetectable: the loss, without a trace in the file, of entries that became durable
//! in the last second before a crash, and the loss of the newest slot of the mark together with the
//! end of the log. Both need a disk that lies or an operator who deletes files.
//!
//! # Upgrades
//!
//! Entries and votes carry their own versions ([`crate::codec`]). raft-log has read all its earlier
//! forms so far; a release that changes its frame is met by purging into a snapshot first.

mod check;
mod error;
mod keeper;
mod record;
mod tail;

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use raft_log::api::raft_log_writer::RaftLogWriter;
use raft_log::{Config, RaftLog, chunked_wal};

use crate::disk::directory::{DataDirectory, Identity};
use crate::disk::durable::{self, naming, with_causes};
use crate::disk::entry::{Position, StoredEntry, StoredVote};
use crate::disk::journal::{Bounds, Done, Journal};
use crate::disk::mark::Mark;
use crate::disk::wal::keeper::{Coverage, Keeper};
use crate::disk::wal::record::Records;
use crate::fuse::Fuse;

pub use error::WalError;

/// How the log is cut into files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkLimits {
    /// Bytes after which a chunk is closed. The entries of the open chunk are held in memory, so
    /// this bounds that too. Never so small that one append closes hundreds of chunks.
    pub bytes: usize,
    /// Records after which a chunk is closed.
    pub records: usize,
}

impl Default for ChunkLimits {
    fn default() -> Self {
        Self { bytes: 16 << 20, records: 1 << 16 }
    }
}

/// Bytes of entries held in memory, beyond those of the open chunk: followers that are a little
/// behind are served from there.
const CACHE_BYTES: usize = 16 << 20;
/// Bytes read at once while opening.
const READ_BUFFER_BYTES: usize = 256 << 10;
/// Bytes on their way to raft-log's thread, above which it makes us wait. That thread also starts
/// the next sync, and must never wait for itself: so there is no bound here. The log store has one
/// sync under way, and openraft bounds what it appends meanwhile.
const QUEUE_BYTES: usize = usize::MAX / 2;

/// The Raft log in the data directory.
#[derive(Debug)]
pub struct Wal {
    log: RaftLog<Records>,
    keeper: Keeper,
    closed: bool,
}

impl Wal {
    /// Opens the log of `identity`, or creates it where the directory is new. All that it then
    /// holds is durable. `fuse` is blown where the mark cannot be moved in the background.
    ///
    /// # Errors
    /// If the log is not whole, does not reach its mark, is another node's, or the operating system
    /// refuses: the message names the file and the way back.
    pub fn open(
        directory: &DataDirectory,
        identity: Identity,
        limits: ChunkLimits,
        fuse: Fuse,
    ) -> Result<Self, WalError> {
        let path = directory.log_path();
        let mut mark = open_mark(directory, identity)?;
        durable::create_directory(&path)?;
        for torn in tail::examine(&path)? {
            tracing::warn!(
                file = %torn.path.display(), offset = torn.offset, bytes = torn.bytes,
                "cutting off a record that was being written when the node stopped"
            );
            torn.cut()?;
        }
        let refused = |cause| match durable::is_remediable(&cause) {
            true => naming("open the Raft log in", &path)(cause).into(),
            false => WalError::Refused { path: path.clone(), cause },
        };
        let config = Arc::new(config(&path, limits));
        let mut log = RaftLog::open(config).map_err(refused)?;
        check::gaps(&log, &path)?;
        check::mark(&log, &mark, &path)?;
        // Opening neither synced what it read nor the name of a chunk that it created.
        flush_and_wait(&mut log).map_err(refused)?;
        durable::sync_directory(&path)?;
        let state = log.log_state();
        mark.write(state.vote().copied(), state.last().copied())?;
        let keeper = Keeper::start(mark, fuse).map_err(refused)?;
        Ok(Self { log, keeper, closed: false })
    }

    fn begin_sync(&mut self, done: Done) -> io::Result<()> {
        let state = self.log.log_state();
        let (vote, last) = (state.vote().copied(), state.last().copied());
        let desk = self.keeper.desk();
        let coverage = Coverage { vote, last, epoch: desk.epoch() };
        let note = move |result: io::Result<()>| {
            done.finish(result.and_then(|()| desk.synced(coverage)));
        };
        self.log.flush(true, Some(Done::new(note)))
    }
}

impl Journal for Wal {
    fn bounds(&self) -> Bounds {
        let state = self.log.log_state();
        Bounds {
            vote: state.vote().copied(),
            committed: state.committed().copied(),
            purged: state.purged().copied(),
            last: state.last().copied(),
        }
    }

    fn read(&self, range: Range<u64>, most_bytes: usize) -> io::Result<Vec<StoredEntry>> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        if range.is_empty() {
            return Ok(entries);
        }
        for read in self.log.read(range.start, range.end) {
            let (position, entry) = read?;
            if position != entry.position {
                return Err(io::Error::other(format!(
                    "the Raft log has {position} where the entry says {}",
                    entry.position
                )));
            }
            bytes += entry.payload_bytes();
            if bytes > most_bytes && !entries.is_empty() {
                break;
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    fn save_vote(&mut self, vote: StoredVote) -> io::Result<()> {
        self.log.save_vote(vote).map(drop)
    }

    fn append(&mut self, entries: Vec<StoredEntry>) -> io::Result<()> {
        self.log.append(entries.into_iter().map(|entry| (entry.position, entry))).map(drop)
    }

    fn save_committed(&mut self, committed: Position) -> io::Result<()> {
        let state = self.log.log_state();
        let known = state.committed() >= Some(&committed);
        if known || Some(&committed) > state.last() {
            return Ok(());
        }
        self.log.commit(committed).map(drop)
    }

    fn truncate_after(&mut self, last: Option<Position>) -> io::Result<()> {
        let state = self.log.log_state();
        if state.last().map(|position| position.index) <= last.map(|position| position.index) {
            return Ok(());
        }
        self.keeper.desk().retreat(last)?;
        self.log.truncate(last.map_or(0, |position| position.index + 1)).map(drop)
    }

    fn purge(&mut self, upto: Position) -> io::Result<()> {
        self.log.purge(upto).map(drop)
    }

    fn sync(&mut self, done: Done) -> io::Result<()> {
        self.begin_sync(done)
    }

    fn close(&mut self) -> io::Result<()> {
        self.closed = true;
        let (send, receive) = mpsc::sync_channel(1);
        self.begin_sync(Done::new(move |result| {
            // Nobody listens any more where waiting has failed.
            let _ = send.send(result);
        }))?;
        receive.recv().map_err(io::Error::other)??;
        self.keeper.stop();
        self.keeper.desk().write()
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        if let Err(error) = self.close() {
            tracing::error!(cause = %with_causes(&error), "the Raft log was not closed in order");
        }
    }
}

fn config(path: &Path, limits: ChunkLimits) -> Config {
    let mut wal = chunked_wal::Config::new(path.display());
    wal.read_buffer_size = Some(READ_BUFFER_BYTES);
    wal.chunk_max_records = Some(limits.records);
    wal.chunk_max_size = Some(limits.bytes);
    // `tail` alone decides what is cut.
    wal.truncate_incomplete_record = Some(false);
    wal.flush_batch_wait = Some(Duration::ZERO);
    wal.flush_queue_max_bytes = Some(QUEUE_BYTES);
    Config { wal, log_cache_max_items: Some(limits.records), log_cache_capacity: Some(CACHE_BYTES) }
}

fn open_mark(directory: &DataDirectory, identity: Identity) -> Result<Mark, WalError> {
    let (path, mark) = (directory.log_path(), directory.mark_path());
    match Mark::open(&mark, identity)? {
        Some(mark) => Ok(mark),
        None if path.exists() => Err(WalError::MarkMissing { path, mark }),
        // The mark comes before the log: so a log without one has lost it.
        None => Ok(Mark::create(&mark, identity)?),
    }
}

fn flush_and_wait(log: &mut RaftLog<Records>) -> io::Result<()> {
    let (send, receive) = mpsc::sync_channel(1);
    log.flush(
        true,
        Some(Done::new(move |result| {
            // Nobody listens any more where waiting has failed.
            let _ = send.send(result);
        })),
    )?;
    receive.recv().map_err(io::Error::other)?
}
