//! Writes a history while the run is in progress.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::Context;

use super::{Fault, Mark, Micros, Operation, Outcome, Record, Step};

/// Appends records to a file. Clones write to the same file.
#[derive(Debug, Clone)]
pub struct Recorder(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    began: Instant,
    numbers: AtomicU64,
    file: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    file: BufWriter<File>,
    /// The first write error.
    failed: Option<std::io::Error>,
    tally: Tally,
}

/// Running totals, for drivers that wait for a number of operations or faults.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Acknowledged changes.
    pub acknowledged: u64,
    /// Injected faults.
    pub faults: u64,
    /// Observed leader changes.
    pub leaders: u64,
    /// Snapshots received by agents.
    pub snapshots: u64,
}

impl Tally {
    fn note(&mut self, record: &Record) {
        match record {
            Record::Operation(Operation { outcome: Outcome::Accepted { .. }, .. }) => {
                self.acknowledged += 1
            }
            Record::Fault(Fault { step: Step::Started, .. }) => self.faults += 1,
            Record::Leader(_) => self.leaders += 1,
            Record::Snapshot(_) => self.snapshots += 1,
            _ => {}
        }
    }
}

impl Recorder {
    /// Creates the file and starts the clock.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create(path)
            .with_context(|| format!("cannot create history {}", path.display()))?;
        let written = Written { file: BufWriter::new(file), failed: None, tally: Tally::default() };
        let file = Mutex::new(written);
        Ok(Self(Arc::new(Shared { began: Instant::now(), numbers: AtomicU64::new(1), file })))
    }

    /// Returns the time since the recording began.
    ///
    /// # Panics
    /// If the recording has lasted for half a million years.
    #[must_use]
    pub fn now(&self) -> Micros {
        self.0.began.elapsed().as_micros().try_into().expect("microseconds fit into 64 bits")
    }

    /// Returns a number that is unique in this history, from 1.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.0.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Appends a record. The first write error is returned by [`Recorder::finish`].
    ///
    /// # Panics
    /// If another thread panicked while writing.
    pub fn append(&self, record: &Record) {
        let mut line = serde_json::to_vec(record).expect("records have string keys only");
        line.push(b'\n');
        let mut written = self.0.file.lock().expect("no writer of the history panicked");
        written.tally.note(record);
        if let Err(error) = written.file.write_all(&line) {
            written.failed.get_or_insert(error);
        }
    }

    /// Returns the running totals.
    ///
    /// # Panics
    /// If another thread panicked while writing.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.0.file.lock().expect("no writer of the history panicked").tally
    }

    /// Appends a mark at the current time.
    pub fn mark(&self, name: &str) {
        self.append(&Record::Mark(Mark { at: self.now(), name: name.to_owned() }));
    }

    /// Flushes the file.
    ///
    /// # Errors
    /// If any record could not be written.
    ///
    /// # Panics
    /// If another thread panicked while writing.
    pub fn finish(&self) -> anyhow::Result<()> {
        let mut written = self.0.file.lock().expect("no writer of the history panicked");
        if let Some(error) = written.failed.take() {
            return Err(error).context("the history is incomplete");
        }
        written.file.flush().context("the history is incomplete")
    }
}
