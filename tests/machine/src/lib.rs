//! Preloaded under a process (`LD_PRELOAD`), gives it a slow disk, a disk that fails, or a clock that
//! is wrong, while it runs and as a page of memory says.
//!
//! | call | what becomes of it |
//! | --- | --- |
//! | `fsync`, `fdatasync` | takes longer, or fails with EIO without being made |
//! | `clock_gettime` of the wall clock, `gettimeofday`, `time` | tell another time; the monotonic clock is left alone |
//!
//! Only syncs of the two stores fail (files below `raft-log` and `database`): what an agent does about
//! other files that it cannot sync is another question. Without a page, nothing is changed.

mod page;

use std::ffi::{CString, c_int, c_void};
use std::time::Duration;

use libc::{clockid_t, time_t, timespec, timeval};

use page::{Page, page};

/// Parts of the paths of what a node rests on.
const STORES: [&[u8]; 2] = [b"/raft-log", b"/database"];
const MS_PER_S: i64 = 1_000;
const NS_PER_MS: i64 = 1_000_000;
const NS_PER_S: i64 = 1_000_000_000;

/// As `fsync(2)`.
#[unsafe(no_mangle)]
pub extern "C" fn fsync(fd: c_int) -> c_int {
    sync(fd, libc::SYS_fsync)
}

/// As `fdatasync(2)`.
#[unsafe(no_mangle)]
pub extern "C" fn fdatasync(fd: c_int) -> c_int {
    sync(fd, libc::SYS_fdatasync)
}

fn sync(fd: c_int, call: libc::c_long) -> c_int {
    if let Some(page) = page() {
        if page.is_failing() && is_of_a_store(fd) && page.take_failure() {
            // SAFETY: the C library gives each thread an `errno` at a valid address.
            unsafe { *libc::__errno_location() = libc::EIO };
            return -1;
        }
        if let Some(delay) = page.take_delay() {
            std::thread::sleep(delay);
        }
    }
    // SAFETY: only a number goes in, and the kernel checks it.
    result(unsafe { libc::syscall(call, fd) })
}

/// As `clock_gettime(2)`.
///
/// # Safety
/// As for the function of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
    // SAFETY: it is given what this function was given.
    let told = result(unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) });
    let wall = matches!(clock, libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE);
    if told == 0
        && wall
        && let Some(ms) = page().and_then(Page::take_shift)
    {
        // SAFETY: the call succeeded, so the time is there.
        let time = unsafe { &mut *time };
        (time.tv_sec, time.tv_nsec) = shifted(time.tv_sec, time.tv_nsec, ms);
    }
    told
}

/// As `gettimeofday(2)`; the zone is not filled, which no system does.
///
/// # Safety
/// As for the function of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gettimeofday(time: *mut timeval, _zone: *mut c_void) -> c_int {
    let (seconds, nanoseconds) = wall();
    // SAFETY: the caller gives a place for a time, or none.
    if let Some(time) = unsafe { time.as_mut() } {
        (time.tv_sec, time.tv_usec) = (seconds, nanoseconds / 1_000);
    }
    0
}

/// As `time(2)`.
///
/// # Safety
/// As for the function of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn time(place: *mut time_t) -> time_t {
    let (seconds, _) = wall();
    // SAFETY: the caller gives a place for a time, or none.
    if let Some(place) = unsafe { place.as_mut() } {
        *place = seconds;
    }
    seconds
}

/// The wall clock as this process is to see it, in seconds and nanoseconds.
fn wall() -> (i64, i64) {
    let mut time = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the place for the time outlives the call.
    unsafe { clock_gettime(libc::CLOCK_REALTIME, &raw mut time) };
    (time.tv_sec, time.tv_nsec)
}

/// A time, so many milliseconds later.
fn shifted(seconds: i64, nanoseconds: i64, ms: i64) -> (i64, i64) {
    let nanoseconds = nanoseconds + ms % MS_PER_S * NS_PER_MS;
    let carried = nanoseconds.div_euclid(NS_PER_S);
    (seconds + ms / MS_PER_S + carried, nanoseconds.rem_euclid(NS_PER_S))
}

/// Whether an open file belongs to the Raft log or the database.
fn is_of_a_store(fd: c_int) -> bool {
    let Ok(link) = CString::new(format!("/proc/self/fd/{fd}")) else { return false };
    let mut path = vec![0_u8; libc::PATH_MAX as usize];
    // SAFETY: the link is a C string, and there is room for the path; both outlive the call.
    let length = unsafe { libc::readlink(link.as_ptr(), path.as_mut_ptr().cast(), path.len()) };
    path.truncate(usize::try_from(length).unwrap_or(0));
    STORES.iter().any(|store| path.windows(store.len()).any(|part| part == *store))
}

/// What the C library's function returns for what a system call did; `syscall(2)` sets `errno`.
fn result(of: libc::c_long) -> c_int {
    c_int::try_from(of).unwrap_or(-1)
}

/// A delay of the page.
fn milliseconds(ms: i64) -> Option<Duration> {
    u64::try_from(ms).ok().filter(|ms| *ms > 0).map(Duration::from_millis)
}
