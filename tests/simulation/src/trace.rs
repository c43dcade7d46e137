//! What happened, as one hash over everything that was delivered or decided, in order: two runs of a
//! seed are the same if their hashes are. On demand also as text.

use std::cell::RefCell;
use std::fmt::Arguments;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

/// How much of it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Print {
    /// Nothing.
    #[default]
    Nothing,
    /// Everything but bytes on the network.
    Events,
    /// Those too: a line each.
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

/// Begins a new trace on this thread, on which the whole simulation runs.
pub fn begin(print: Print) {
    TRACE.with_borrow_mut(|trace| *trace = Trace { print, ..Trace::default() });
}

/// Says how much simulated time has passed.
pub fn set_now(now: Duration) {
    TRACE.with_borrow_mut(|trace| trace.now = now);
}

/// Simulated time since the beginning, to the tick.
#[must_use]
pub fn now() -> Duration {
    TRACE.with_borrow(|trace| trace.now)
}

/// Notes something that happened.
pub fn note(text: Arguments<'_>) {
    TRACE.with_borrow_mut(|trace| {
        let text = text.to_string();
        trace.add(text.as_bytes());
        if trace.print >= Print::Events {
            println!("{:>10.3} {text}", trace.now.as_secs_f64());
        }
    });
}

/// Notes bytes that came from one host to another.
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

/// The hash of everything noted so far, in hexadecimal digits, and how much that was.
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
