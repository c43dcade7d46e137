//! A library preloaded under a process (`LD_PRELOAD`) that injects slow or failing syncs, a wrong
//! wall clock and slow name lookups, controlled by a shared page of memory while the process is
//! running.
//!
//! | call | effect |
//! | --- | --- |
//! | `fsync`, `fdatasync` | delayed, or fails with EIO without a system call |
//! | `clock_gettime` of the wall clock, `gettimeofday`, `time` | return a shifted time; the monotonic clock is unchanged |
//! | `getaddrinfo` | delayed; `198-18-0-1.machine.test` has the address 198.18.0.1, without a name server |
//!
//! Only syncs of the two stores fail (files below `raft-log` and `database`); failures of other
//! files are out of scope. Without a page, nothing is changed.

mod names;
mod page;

use std::ffi::{CString, c_int, c_void};

use libc::{clockid_t, time_t, timespec, timeval};

use page::{Page, page};

/// Substrings of the paths of a node's stores.
const STORES: [&[u8]; 2] = [b"/raft-log", b"/database"];
const MS_PER_S: i64 = 1_000;
const NS_PER_MS: i64 = 1_000_000;
const NS_PER_S: i64 = 1_000_000_000;

/// See `fsync(2)`.
#[unsafe(no_mangle)]
pub extern "C" fn fsync(fd: c_int) -> c_int {
    sync(fd, libc::SYS_fsync)
}

/// See `fdatasync(2)`.
#[unsafe(no_mangle)]
pub extern "C" fn fdatasync(fd: c_int) -> c_int {
    sync(fd, libc::SYS_fdatasync)
}

fn sync(fd: c_int, call: libc::c_long) -> c_int {
    if let Some(page) = page() {
        if page.is_failing() && is_store_file(fd) && page.take_failure() {
            // SAFETY: `__errno_location` returns a valid address of the calling thread.
            unsafe { *libc::__errno_location() = libc::EIO };
            return -1;
        }
        page.delay_sync();
    }
    // SAFETY: the argument is a number, which the kernel validates.
    result(unsafe { libc::syscall(call, fd) })
}

/// See `clock_gettime(2)`.
///
/// # Safety
/// As for the C library function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
    // SAFETY: the arguments are passed on.
    let code = result(unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) });
    let wall = matches!(clock, libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE);
    if code == 0
        && wall
        && let Some(ms) = page().and_then(Page::take_shift)
    {
        // SAFETY: the call succeeded, so `time` is valid.
        let time = unsafe { &mut *time };
        (time.tv_sec, time.tv_nsec) = shifted(time.tv_sec, time.tv_nsec, ms);
    }
    code
}

/// See `gettimeofday(2)`. The time zone is not set; no current system does.
///
/// # Safety
/// As for the C library function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gettimeofday(time: *mut timeval, _zone: *mut c_void) -> c_int {
    let (seconds, nanoseconds) = wall();
    // SAFETY: the caller passes a valid pointer or null.
    if let Some(time) = unsafe { time.as_mut() } {
        (time.tv_sec, time.tv_usec) = (seconds, nanoseconds / 1_000);
    }
    0
}

/// See `time(2)`.
///
/// # Safety
/// As for the C library function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn time(time: *mut time_t) -> time_t {
    let (seconds, _) = wall();
    // SAFETY: the caller passes a valid pointer or null.
    if let Some(time) = unsafe { time.as_mut() } {
        *time = seconds;
    }
    seconds
}

/// Returns the shifted wall clock in seconds and nanoseconds.
fn wall() -> (i64, i64) {
    let mut time = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` outlives the call.
    unsafe { clock_gettime(libc::CLOCK_REALTIME, &raw mut time) };
    (time.tv_sec, time.tv_nsec)
}

/// Adds milliseconds to a time.
fn shifted(seconds: i64, nanoseconds: i64, ms: i64) -> (i64, i64) {
    let nanoseconds = nanoseconds + ms % MS_PER_S * NS_PER_MS;
    let carried = nanoseconds.div_euclid(NS_PER_S);
    (seconds + ms / MS_PER_S + carried, nanoseconds.rem_euclid(NS_PER_S))
}

/// Returns true if an open file belongs to the Raft log or the database.
fn is_store_file(fd: c_int) -> bool {
    let Ok(link) = CString::new(format!("/proc/self/fd/{fd}")) else { return false };
    let mut path = vec![0_u8; libc::PATH_MAX as usize];
    // SAFETY: the link is a C string and the buffer has the given size; both outlive the call.
    let length = unsafe { libc::readlink(link.as_ptr(), path.as_mut_ptr().cast(), path.len()) };
    path.truncate(usize::try_from(length).unwrap_or(0));
    STORES.iter().any(|store| path.windows(store.len()).any(|part| part == *store))
}

/// Converts the result of `syscall(2)`, which also sets `errno`.
fn result(value: libc::c_long) -> c_int {
    c_int::try_from(value).unwrap_or(-1)
}
