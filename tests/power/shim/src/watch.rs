//! The watched files, their injected fault, and the lock under which records are written.

use std::ffi::{CString, c_int};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::record::Record;
use crate::system;

/// The watched directory, an absolute path without links.
const DIRECTORY: &str = "MERIDIAN_POWER_DIRECTORY";
/// The journal, outside of the watched directory. Appended to if it exists.
const JOURNAL: &str = "MERIDIAN_POWER_JOURNAL";
/// One fault: `<sync|write> <substring of the path> <operations to skip> <errno> <operations to
/// fail>`.
const FAULT: &str = "MERIDIAN_POWER_FAULT";
/// Number of writes to the standard output after which the process exits.
const END_AFTER: &str = "MERIDIAN_POWER_END_AFTER";

/// Exit code of a process ended on request.
const ENDED: c_int = 99;
/// Exit code of a process ended for an unsupported operation. Ignoring it would make the tests
/// unsound.
const UNSUPPORTED: c_int = 98;

/// The kind of operation that a fault applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A sync of a file or a directory.
    Sync,
    /// A write to a file.
    Write,
}

#[derive(Debug)]
struct Fault {
    operation: Operation,
    path_part: Vec<u8>,
    skip: u64,
    errno: c_int,
    remaining: u64,
}

/// The watched directory and its journal.
#[derive(Debug)]
pub struct Watch {
    directory: Vec<u8>,
    journal: c_int,
    fault: Option<Fault>,
    outputs_left: Option<u64>,
    next_sync: u64,
}

/// Returns the locked watch, or `None` in a process that is not watched. Operations performed under
/// the lock are recorded in execution order.
#[must_use]
pub fn watch() -> Option<MutexGuard<'static, Watch>> {
    static WATCH: OnceLock<Option<Mutex<Watch>>> = OnceLock::new();
    let watch = WATCH.get_or_init(|| Watch::from_environment().map(Mutex::new)).as_ref()?;
    Some(watch.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Takes the lock forever. Otherwise threads that still run when the process exits could be ended
/// between an operation and its record.
extern "C" fn hold_lock() {
    std::mem::forget(watch());
}

impl Watch {
    fn from_environment() -> Option<Self> {
        let directory = std::env::var(DIRECTORY).ok()?.into_bytes();
        let journal = CString::new(std::env::var(JOURNAL).ok()?).ok()?;
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND | libc::O_CLOEXEC;
        // SAFETY: the path is a C string that outlives the call.
        let journal = unsafe { system::open(journal.as_ptr(), flags, 0o600) };
        if journal < 0 {
            unsupported("cannot open the journal");
        }
        system::at_exit(hold_lock);
        let fault = std::env::var(FAULT).ok().map(|text| match Fault::parse(&text) {
            Some(fault) => fault,
            None => unsupported("invalid fault"),
        });
        let outputs_left = std::env::var(END_AFTER).ok().and_then(|count| count.parse().ok());
        // Process runs that share a journal must not share numbers.
        let next_sync = u64::from(std::process::id()) << 32;
        Some(Self { directory, journal, fault, outputs_left, next_sync })
    }

    /// Returns true if `path` is in the watched directory.
    #[must_use]
    pub fn covers(&self, path: &[u8]) -> bool {
        let rest = path.strip_prefix(self.directory.as_slice());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    }

    /// Returns the path of an open file if it is watched and not deleted.
    #[must_use]
    pub fn path_of(&self, fd: c_int) -> Option<Vec<u8>> {
        let path = system::path_of(fd).filter(|path| self.covers(path))?;
        (!path.ends_with(b" (deleted)")).then_some(path)
    }

    /// Appends a record to the journal.
    pub fn record(&self, record: &Record) {
        let bytes = record.encode();
        // SAFETY: the buffer outlives the call.
        let written = unsafe { system::write(self.journal, bytes.as_ptr().cast(), bytes.len()) };
        if usize::try_from(written) != Ok(bytes.len()) {
            unsupported("cannot write the journal");
        }
    }

    /// Records the start of a sync, and returns its number.
    pub fn start_sync(&mut self, path: Vec<u8>) -> u64 {
        let sync = self.next_sync;
        self.next_sync += 1;
        self.record(&Record::SyncStarted { sync, path });
        sync
    }

    /// Records output of the process, and ends the process if the limit is reached.
    pub fn output(&mut self, data: &[u8]) {
        self.record(&Record::Output { data: data.to_vec() });
        if let Some(left) = &mut self.outputs_left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                system::exit_now(ENDED);
            }
        }
    }

    /// Returns the `errno` with which an operation must fail, if any.
    pub fn fault(&mut self, operation: Operation, path: &[u8]) -> Option<c_int> {
        let fault = self.fault.as_mut().filter(|fault| fault.operation == operation)?;
        if !path.windows(fault.path_part.len()).any(|part| part == fault.path_part)
            || fault.remaining == 0
        {
            return None;
        }
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        fault.remaining -= 1;
        Some(fault.errno)
    }
}

impl Fault {
    fn parse(text: &str) -> Option<Self> {
        let [operation, path_part, skip, errno, remaining] =
            text.split(' ').collect::<Vec<_>>().try_into().ok()?;
        let operation = match operation {
            "sync" => Operation::Sync,
            "write" => Operation::Write,
            _ => return None,
        };
        Some(Self {
            operation,
            path_part: path_part.as_bytes().to_vec(),
            skip: skip.parse().ok()?,
            errno: errno.parse().ok()?,
            remaining: remaining.parse().ok()?,
        })
    }
}

/// Ends the process because of an unsupported operation.
pub fn unsupported(what: &str) -> ! {
    let text = format!("power shim: unsupported operation: {what}\n");
    // SAFETY: the buffer outlives the call. A failure cannot be reported.
    let _ = unsafe { system::write(2, text.as_ptr().cast(), text.len()) };
    system::exit_now(UNSUPPORTED);
}
