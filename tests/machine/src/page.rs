//! The page: a file that the process has in its memory, and whoever meddles with it writes to. Numbers
//! of 64 bits in the machine's order, one behind the other:
//!
//! | number | says |
//! | --- | --- |
//! | 0 | by how many milliseconds the wall clock is wrong |
//! | 1 | how many milliseconds each sync takes longer |
//! | 2 | how many syncs of a store are still to fail |
//! | 3 | how often the wall clock was read while it was wrong |
//! | 4 | how many syncs took longer |
//! | 5 | how many syncs failed |
//!
//! The first three are for the process, the others are from it. Its children share the page.

use std::ffi::c_char;
use std::ptr;
use std::sync::atomic::{AtomicI64, AtomicPtr, Ordering};
use std::time::Duration;

use crate::milliseconds;

/// Names the file.
const VARIABLE: &[u8] = b"MERIDIAN_MACHINE_PAGE\0";

/// The page. All places are aligned, and all values are valid.
#[repr(C)]
pub struct Page {
    shift_ms: AtomicI64,
    delay_ms: AtomicI64,
    failing: AtomicI64,
    misread: AtomicI64,
    delayed: AtomicI64,
    failed: AtomicI64,
}

static PAGE: AtomicPtr<Page> = AtomicPtr::new(ptr::null_mut());

/// Maps the page before the program begins: no call waits for it, or meets half of it.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = map;

/// The page, where there is one.
pub fn page() -> Option<&'static Page> {
    // SAFETY: null, or a mapping that stays as long as the process.
    unsafe { PAGE.load(Ordering::Relaxed).as_ref() }
}

extern "C" fn map() {
    // SAFETY: the name is a C string; no other thread runs yet that could change the environment.
    let path = unsafe { libc::getenv(VARIABLE.as_ptr().cast::<c_char>()) };
    if path.is_null() {
        return;
    }
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: the path is a C string of the environment. What cannot be opened cannot be mapped, and
    // then there is no page.
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
    /// Whether a sync is to fail.
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed) > 0
    }

    /// Whether this one is to, which is said once for each that is.
    pub fn take_failure(&self) -> bool {
        let one_less = |left: i64| (left > 0).then_some(left - 1);
        let taken = self.failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok();
        if taken {
            self.failed.fetch_add(1, Ordering::SeqCst);
        }
        taken
    }

    /// How long a sync is to take longer, which is counted.
    pub fn take_delay(&self) -> Option<Duration> {
        let delay = milliseconds(self.delay_ms.load(Ordering::Relaxed))?;
        self.delayed.fetch_add(1, Ordering::Relaxed);
        Some(delay)
    }

    /// By how many milliseconds the wall clock is to be wrong, if it is; that is counted.
    pub fn take_shift(&self) -> Option<i64> {
        let shift = self.shift_ms.load(Ordering::Relaxed);
        if shift == 0 {
            return None;
        }
        self.misread.fetch_add(1, Ordering::Relaxed);
        Some(shift)
    }
}
