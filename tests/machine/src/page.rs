//! The shared page: a file mapped into the process, to which the fault injector writes. It contains
//! 64-bit numbers in native byte order:
//!
//! | index | value |
//! | --- | --- |
//! | 0 | offset of the wall clock in milliseconds |
//! | 1 | additional latency of each sync in milliseconds |
//! | 2 | number of store syncs that are still to fail |
//! | 3 | number of reads of the shifted wall clock |
//! | 4 | number of delayed syncs |
//! | 5 | number of failed syncs |
//!
//! The first three are written by the injector, the others by the process. Child processes share
//! the page.

use std::ffi::c_char;
use std::ptr;
use std::sync::atomic::{AtomicI64, AtomicPtr, Ordering};
use std::time::{Duration, Instant};

use crate::milliseconds;

/// Environment variable with the path of the file.
const VARIABLE: &[u8] = b"MERIDIAN_MACHINE_PAGE\0";

/// Maximum time for which a delayed sync does not notice that syncs are no longer delayed.
const SLICE: Duration = Duration::from_millis(50);

/// The page. All fields are aligned, and every bit pattern is valid.
#[repr(C)]
pub struct Page {
    shift_ms: AtomicI64,
    delay_ms: AtomicI64,
    syncs_to_fail: AtomicI64,
    shifted_reads: AtomicI64,
    delayed_syncs: AtomicI64,
    failed_syncs: AtomicI64,
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

    /// Returns the delay of a sync, if any, and counts it.
    pub fn take_delay(&self) -> Option<Duration> {
        let delay = milliseconds(self.delay_ms.load(Ordering::Relaxed))?;
        self.delayed_syncs.fetch_add(1, Ordering::Relaxed);
        Some(delay)
    }

    /// Waits for a delay; not for longer than syncs are delayed at all, so that a disk that hangs
    /// responds again when the injector says so.
    pub fn wait(&self, delay: Duration) {
        let began = Instant::now();
        while self.delay_ms.load(Ordering::Relaxed) > 0 {
            let left = delay.saturating_sub(began.elapsed());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(SLICE));
        }
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
