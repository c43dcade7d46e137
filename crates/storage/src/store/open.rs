//! Opening of the derived store: loads it into memory and rejects it unless it is consistent.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::error::OpenError;
use super::load::{load, single};
use super::writer::{MAX_QUEUED_JOBS, Writer, sweep_some};
use super::{Core, Store, Tail, durability};
use crate::codec;
use crate::disk::database::{Batch, Database};
use crate::event_log::removable_keys;
use crate::fuse::Fuse;
use crate::rows::position::Format;
use crate::rows::{self, KeyRange};
use crate::state_machine::StateMachine;

impl Store {
    /// Opens the derived store in `database`, or creates an empty one, and returns it with the
    /// state machine for openraft. Must be called within a tokio runtime. Reads all state rows and
    /// blocks while doing so.
    ///
    /// `synced_index` is set to the last log index whose rows are synced: the Raft log must not be
    /// purged beyond it.
    ///
    /// `flushed` is the last index that is durable in this node's Raft log. When entries are
    /// replaced, it must fall below the first of them before the new ones can be applied.
    ///
    /// # Errors
    /// If the store is inconsistent, was written by newer software, or cannot be read.
    pub fn open(
        database: Arc<dyn Database>,
        flushed: watch::Receiver<Option<u64>>,
        synced_index: Arc<AtomicU64>,
        fuse: Fuse,
    ) -> Result<(Self, StateMachine), OpenError> {
        // The rows that are read here may not be on the disk yet, and the log is purged based on
        // them.
        database.sync()?;
        check_format(&*database)?;
        let (state, tail) = load(&*database)?;
        let next_number = remove_staged(&*database, &tail)?;
        let garbage = garbage(&tail);
        let index = tail.applied.map_or(0, |applied| applied.index);
        let revision = tail.log.revision;
        synced_index.store(index, Ordering::Release);
        let core = Arc::new(Core {
            database,
            fuse,
            state: RwLock::new(state),
            tail: Mutex::new(tail),
            flushed,
            synced_index,
            latest: watch::Sender::new(revision),
            durable: watch::Sender::new(revision),
            applied: watch::Sender::new(index),
            next_number: AtomicU64::new(next_number),
            staging: Arc::new(Semaphore::new(1)),
            closing: CancellationToken::new(),
        });
        let (jobs, queue) = mpsc::channel(MAX_QUEUED_JOBS);
        durability::follow(&core);
        Writer::new(core.clone(), queue, index, garbage).spawn()?;
        let store = Self { core, jobs };
        Ok((store.clone(), StateMachine::new(store)))
    }
}

fn check_format(database: &dyn Database) -> Result<(), OpenError> {
    match single::<Format>(database, rows::FORMAT_KEY, "the format")? {
        Some(Format { version }) if version != rows::FORMAT => {
            Err(OpenError::UnsupportedFormat { found: version })
        }
        Some(_) => Ok(()),
        None => {
            let mut batch = Batch::default();
            let format = Format { version: rows::FORMAT };
            batch.insert(rows::FORMAT_KEY, codec::encode(&format));
            database.write(batch)?;
            Ok(database.sync()?)
        }
    }
}

/// Removes rows of snapshots that were never installed, which have unused numbers, and events after
/// the last one. Returns the next unused number.
fn remove_staged(database: &dyn Database, tail: &Tail) -> io::Result<u64> {
    let (epoch, history) = (tail.epoch, tail.log.history);
    let after_last = rows::event_key(history, tail.log.revision.next());
    let segments = tail.log.segments.len() as u64;
    let mut staged = vec![
        rows::state_keys(epoch + 1..u64::MAX),
        after_last..rows::event_keys(0..u64::MAX).end,
        rows::segment_key(history, segments)..rows::segment_keys(0..u64::MAX).end,
    ];
    for range in &mut staged {
        while let Some(rest) = sweep_some(database, range)? {
            range.start = rest;
        }
    }
    Ok(epoch.max(history) + 1)
}

/// Returns the rows that earlier snapshots and trimming may have left.
fn garbage(tail: &Tail) -> Vec<KeyRange> {
    let history = tail.log.history;
    vec![
        rows::state_keys(0..tail.epoch),
        removable_keys(history, tail.log.trimmed),
        rows::segment_keys(0..history),
    ]
}
