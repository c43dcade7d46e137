//! The trace of a simulation: a hash over everything that was delivered or decided, in order. Two
//! runs of a seed are equal if their hashes are. The trace can also be printed.

use std::cell::RefCell;
use std::fmt::Arguments;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

/// The printed part of the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Print {
    /// Nothing.
    #[default]
    Nothing,
    /// Everything except network messages.
    Events,
    /// Network messages too, one line each.
    Messages,
}

#[derive(Default)]
struct Trace {
    hash: Sha256,
    notes: u64,
    now: Duration,
    print: Print,
}

thread_local! {
    static TRACE: RefCell<Trace> = RefCell::default();
}

/// Starts a new trace on this thread, which must be the thread of the simulation.
pub fn begin(print: Print) {
    TRACE.with_borrow_mut(|trace| *trace = Trace { print, ..Trace::default() });
}

/// Sets the simulated time.
pub fn set_now(now: Duration) {
    TRACE.with_borrow_mut(|trace| trace.now = now);
}

/// Returns the simulated time since the start, rounded to a tick.
#[must_use]
pub fn now() -> Duration {
    TRACE.with_borrow(|trace| trace.now)
}

/// Adds an event to the trace.
pub fn note(text: Arguments<'_>) {
    TRACE.with_borrow_mut(|trace| {
        let text = text.to_string();
        trace.add(text.as_bytes());
        if trace.print >= Print::Events {
            println!("{:>10.3} {text}", trace.now.as_secs_f64());
        }
    });
}

/// Adds bytes received by a host to the trace.
pub fn delivered(from: &str, to: &str, bytes: &[u8]) {
    TRACE.with_borrow_mut(|trace| {
        trace.add(from.as_bytes());
        trace.add(to.as_bytes());
        trace.add(bytes);
        if trace.print >= Print::Messages {
            let sum = &Sha256::digest(bytes)[..4];
            let (now, length) = (trace.now.as_secs_f64(), bytes.len());
            println!("{now:>10.3} {from} -> {to}: {length} bytes {sum:02x?}");
        }
    });
}

/// Returns the hash of the trace in hexadecimal, and the number of notes.
#[must_use]
pub fn hash() -> (String, u64) {
    TRACE.with_borrow(|trace| {
        let hash = trace.hash.clone().finalize();
        (hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect(), trace.notes)
    })
}

impl Trace {
    fn add(&mut self, bytes: &[u8]) {
        self.notes += 1;
        self.hash.update(self.now.as_nanos().to_be_bytes());
        self.hash.update((bytes.len() as u64).to_be_bytes());
        self.hash.update(bytes);
    }
}
