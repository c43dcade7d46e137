//! Writes a history while it happens.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::Context;

use super::{Answer, Call, Fault, Mark, Micros, Record, Step};

/// Appends records to a file. Clones write to the same one.
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
    /// The first record that could not be written.
    failed: Option<std::io::Error>,
    tally: Tally,
}

/// What is recorded so far, for whoever waits for the end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Calls that acknowledged a change.
    pub acknowledged: u64,
    /// Faults that were begun.
    pub faults: u64,
    /// How often an agent was seen to begin to lead.
    pub leaders: u64,
    /// Snapshots that agents received.
    pub snapshots: u64,
}

impl Tally {
    fn note(&mut self, record: &Record) {
        match record {
            Record::Call(Call { answer: Answer::Accepted { .. }, .. }) => self.acknowledged += 1,
            Record::Fault(Fault { step: Step::Begun, .. }) => self.faults += 1,
            Record::Leader(_) => self.leaders += 1,
            Record::Snapshot(_) => self.snapshots += 1,
            _ => {}
        }
    }
}

impl Recorder {
    /// Begins a history in a new file. The clock begins with it.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create(path)
            .with_context(|| format!("the history {} cannot be written", path.display()))?;
        let written = Written { file: BufWriter::new(file), failed: None, tally: Tally::default() };
        let file = Mutex::new(written);
        Ok(Self(Arc::new(Shared { began: Instant::now(), numbers: AtomicU64::new(1), file })))
    }

    /// Now.
    ///
    /// # Panics
    /// If the recording has lasted for half a million years.
    #[must_use]
    pub fn now(&self) -> Micros {
        self.0.began.elapsed().as_micros().try_into().expect("the time fits into 64 bits")
    }

    /// A number that nothing else in this history has, from 1.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.0.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Appends a record. What fails is said by [`Recorder::finish`].
    ///
    /// # Panics
    /// If another thread panicked in here.
    pub fn append(&self, record: &Record) {
        let mut line = serde_json::to_vec(record).expect("a record has text keys only");
        line.push(b'\n');
        let mut written = self.0.file.lock().expect("no writer of the history panicked");
        written.tally.note(record);
        if let Err(error) = written.file.write_all(&line) {
            written.failed.get_or_insert(error);
        }
    }

    /// What is recorded so far.
    ///
    /// # Panics
    /// If another thread panicked while it wrote.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.0.file.lock().expect("no writer of the history panicked").tally
    }

    /// Appends a named moment: now.
    pub fn mark(&self, name: &str) {
        self.append(&Record::Mark(Mark { at: self.now(), name: name.to_owned() }));
    }

    /// Makes sure that all of it is in the file.
    ///
    /// # Errors
    /// If some record is not.
    ///
    /// # Panics
    /// If another thread panicked while it wrote.
    pub fn finish(&self) -> anyhow::Result<()> {
        let mut written = self.0.file.lock().expect("no writer of the history panicked");
        if let Some(error) = written.failed.take() {
            return Err(error).context("the history is incomplete");
        }
        written.file.flush().context("the history is incomplete")
    }
}
