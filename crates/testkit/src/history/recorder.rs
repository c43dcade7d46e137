//! Writes a history while it happens.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::Context;

use super::{Mark, Micros, Record};

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
}

impl Recorder {
    /// Begins a history in a new file. The clock begins with it.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create(path)
            .with_context(|| format!("the history {} cannot be written", path.display()))?;
        let file = Mutex::new(Written { file: BufWriter::new(file), failed: None });
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
        if let Err(error) = written.file.write_all(&line) {
            written.failed.get_or_insert(error);
        }
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
