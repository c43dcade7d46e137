//! Which files are watched, what goes wrong with them, and the one lock under which all is noted.

use std::ffi::{CString, c_int};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::record::Record;
use crate::system;

/// The directory whose files are watched, an absolute path without links.
const DIRECTORY: &str = "MERIDIAN_POWER_DIRECTORY";
/// The journal, which is outside of it. It is added to where it is there.
const JOURNAL: &str = "MERIDIAN_POWER_JOURNAL";
/// One fault: `<sync|write> <part of a path> <how many are left alone> <errno> <how many fail>`.
const FAULT: &str = "MERIDIAN_POWER_FAULT";
/// The number of writes to the standard output after which the process ends.
const SAYINGS: &str = "MERIDIAN_POWER_END_AFTER";

/// The code with which a process ends at the shim's will.
const ENDED: c_int = 99;
/// The code with which a process ends that did something that the shim cannot follow: silence about
/// it would make the tests prove too much.
const NOT_FOLLOWED: c_int = 98;

/// What kind of call a fault is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// A sync of a file or a directory.
    Sync,
    /// A write to a file.
    Write,
}

#[derive(Debug)]
struct Fault {
    call: Call,
    part: Vec<u8>,
    left_alone: u64,
    errno: c_int,
    failing: u64,
}

/// What is watched.
#[derive(Debug)]
pub struct Watch {
    directory: Vec<u8>,
    journal: c_int,
    fault: Option<Fault>,
    sayings_left: Option<u64>,
    next_sync: u64,
}

/// The watch, locked: what is done while it is held is noted in the order in which it is done. None
/// in a process that is not watched.
#[must_use]
pub fn watch() -> Option<MutexGuard<'static, Watch>> {
    static WATCH: OnceLock<Option<Mutex<Watch>>> = OnceLock::new();
    let watch = WATCH.get_or_init(|| Watch::from_environment().map(Mutex::new)).as_ref()?;
    Some(watch.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Takes the lock for good: threads that still run when the process ends would otherwise be ended
/// between a call and its note.
extern "C" fn stand_still() {
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
            not_followed("its journal cannot be opened");
        }
        system::at_end(stand_still);
        let fault = std::env::var(FAULT).ok().map(|text| match Fault::parse(&text) {
            Some(fault) => fault,
            None => not_followed("its fault cannot be read"),
        });
        let sayings_left = std::env::var(SAYINGS).ok().and_then(|count| count.parse().ok());
        // Numbers of one life must not meet those of another in the same journal.
        let next_sync = u64::from(std::process::id()) << 32;
        Some(Self { directory, journal, fault, sayings_left, next_sync })
    }

    /// Whether the file at `path` is watched.
    #[must_use]
    pub fn covers(&self, path: &[u8]) -> bool {
        let rest = path.strip_prefix(self.directory.as_slice());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    }

    /// The path of an open file that is watched and still has one.
    #[must_use]
    pub fn path_of(&self, fd: c_int) -> Option<Vec<u8>> {
        let path = system::path_of(fd).filter(|path| self.covers(path))?;
        (!path.ends_with(b" (deleted)")).then_some(path)
    }

    /// Adds a record to the journal.
    pub fn note(&self, record: &Record) {
        let bytes = record.encode();
        // SAFETY: the bytes are there until after the call.
        let written = unsafe { system::write(self.journal, bytes.as_ptr().cast(), bytes.len()) };
        if usize::try_from(written) != Ok(bytes.len()) {
            not_followed("its journal cannot be written");
        }
    }

    /// Notes that a sync begins, and returns its number.
    pub fn begin_sync(&mut self, path: Vec<u8>) -> u64 {
        let sync = self.next_sync;
        self.next_sync += 1;
        self.note(&Record::SyncBegun { sync, path });
        sync
    }

    /// Notes what the process said; ends it where that was its last word.
    pub fn said(&mut self, data: &[u8]) {
        self.note(&Record::Said { data: data.to_vec() });
        if let Some(left) = &mut self.sayings_left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                system::end(ENDED);
            }
        }
    }

    /// The error with which a call is to fail, if it is.
    pub fn fault(&mut self, call: Call, path: &[u8]) -> Option<c_int> {
        let fault = self.fault.as_mut().filter(|fault| fault.call == call)?;
        if !path.windows(fault.part.len()).any(|part| part == fault.part) || fault.failing == 0 {
            return None;
        }
        if fault.left_alone > 0 {
            fault.left_alone -= 1;
            return None;
        }
        fault.failing -= 1;
        Some(fault.errno)
    }
}

impl Fault {
    fn parse(text: &str) -> Option<Self> {
        let [call, part, left_alone, errno, failing] =
            text.split(' ').collect::<Vec<_>>().try_into().ok()?;
        let call = match call {
            "sync" => Call::Sync,
            "write" => Call::Write,
            _ => return None,
        };
        Some(Self {
            call,
            part: part.as_bytes().to_vec(),
            left_alone: left_alone.parse().ok()?,
            errno: errno.parse().ok()?,
            failing: failing.parse().ok()?,
        })
    }
}

/// Ends a process that cannot be followed.
pub fn not_followed(what: &str) -> ! {
    let text = format!("the power shim cannot follow this process: {what}\n");
    // SAFETY: the bytes are there until after the call. There is nobody to tell if it fails.
    let _ = unsafe { system::write(2, text.as_ptr().cast(), text.len()) };
    system::end(NOT_FOLLOWED);
}
