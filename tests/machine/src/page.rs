//! The shared page: a file mapped into the process, to which the fault injector writes. It contains
//! 64-bit numbers in native byte order:
//!
//! | index | value |
//! | --- | --- |
//! | 0 | offset of the wall clock in milliseconds |
//! | 1 | additional latency of each sync in milliseconds |
//! | 2 | number of store syncs that are still to fail |
//! | 3 | additional latency of each lookup of a name in milliseconds |
//! | 4 | number of reads of the shifted wall clock |
//! | 5 | number of delayed syncs |
//! | 6 | number of failed syncs |
//! | 7 | number of delayed lookups |
//!
//! The first four are written by the injector, the others by the process. Child processes share
//! the page.

use std::ffi::c_char;
use std::ptr;
use std::sync::atomic::{AtomicI64, AtomicPtr, Ordering};
use std::time::{Duration, Instant};

/// Environment variable with the path of the file.
const VARIABLE: &[u8] = b"MERIDIAN_MACHINE_PAGE\0";

/// Maximum time for which a delayed call does not notice that calls are no longer delayed.
const SLICE: Duration = Duration::from_millis(50);

/// The page. All fields are aligned, and every bit pattern is valid.
#[repr(C)]
pub struct Page {
    shift_ms: AtomicI64,
    sync_delay_ms: AtomicI64,
    syncs_to_fail: AtomicI64,
    lookup_delay_ms: AtomicI64,
    shifted_reads: AtomicI64,
    delayed_syncs: AtomicI64,
    failed_syncs: AtomicI64,
    delayed_lookups: AtomicI64,
}

static PAGE: AtomicPtr<Page> = AtomicPtr::new(ptr::null_mut());

/// Maps the page before `main` runs, so that calls never see a partially initialized state.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = map;

/// Returns the page, if there is one.
pub fn page() -> Option<&'static Page> {
    // SAFETY: the pointer is null, or a mapping that is never removed.
    unsafe { PAGE.load(Ordering::Relaxed).as_ref() }
}

extern "C" fn map() {
    // SAFETY: the name is a C string, and no other thread exists yet that could change the
    // environment.
    let path = unsafe { libc::getenv(VARIABLE.as_ptr().cast::<c_char>()) };
    if path.is_null() {
        return;
    }
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: the path is a C string of the environment. If opening fails, so does the mapping, and
    // there is no page.
    let mapped = unsafe {
        let file = libc::open(path, libc::O_RDWR | libc::O_CLOEXEC);
        let bytes = size_of::<Page>();
        let mapped = libc::mmap(ptr::null_mut(), bytes, protection, libc::MAP_SHARED, file, 0);
        libc::close(file);
        mapped
    };
    if mapped != libc::MAP_FAILED {
        PAGE.store(mapped.cast(), Ordering::Relaxed);
    }
}

impl Page {
    /// Returns true if a sync is to fail.
    pub fn is_failing(&self) -> bool {
        self.syncs_to_fail.load(Ordering::Relaxed) > 0
    }

    /// Consumes one failure. Returns false if none is left.
    pub fn take_failure(&self) -> bool {
        let decrement = |left: i64| (left > 0).then_some(left - 1);
        let taken =
            self.syncs_to_fail.fetch_update(Ordering::SeqCst, Ordering::SeqCst, decrement).is_ok();
        if taken {
            self.failed_syncs.fetch_add(1, Ordering::SeqCst);
        }
        taken
    }

    /// Delays a sync, if syncs are delayed.
    pub fn delay_sync(&self) {
        wait(&self.sync_delay_ms, &self.delayed_syncs);
    }

    /// Delays a lookup, if lookups are delayed.
    pub fn delay_lookup(&self) {
        wait(&self.lookup_delay_ms, &self.delayed_lookups);
    }

    /// Returns the offset of the wall clock in milliseconds, if any, and counts the read.
    pub fn take_shift(&self) -> Option<i64> {
        let shift = self.shift_ms.load(Ordering::Relaxed);
        if shift == 0 {
            return None;
        }
        self.shifted_reads.fetch_add(1, Ordering::Relaxed);
        Some(shift)
    }
}

/// Waits for the delay of a call, if any, and counts the call. Does not wait for longer than calls are
/// delayed at all, so that a disk that hangs responds again when the injector says so.
fn wait(delay_ms: &AtomicI64, delayed: &AtomicI64) {
    let delay = || u64::try_from(delay_ms.load(Ordering::Relaxed)).ok().filter(|ms| *ms > 0);
    let Some(first) = delay().map(Duration::from_millis) else { return };
    delayed.fetch_add(1, Ordering::Relaxed);
    let began = Instant::now();
    while delay().is_some() {
        let left = first.saturating_sub(began.elapsed());
        if left.is_zero() {
            return;
        }
        std::thread::sleep(left.min(SLICE));
    }
}
