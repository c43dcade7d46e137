//! The interposed functions that change what is in a file, or make it durable.

use std::ffi::{c_int, c_void};

use libc::{off_t, size_t, ssize_t};

use crate::record::Record;
use crate::system;
use crate::watch::{Call, Watch, not_followed, watch};

const STANDARD_OUTPUT: c_int = 1;

/// The bytes that a call was given.
///
/// # Safety
/// `bytes` has at least `count` bytes, or `count` is 0.
unsafe fn given(bytes: *const c_void, count: usize) -> Vec<u8> {
    if count == 0 {
        return Vec::new();
    }
    // SAFETY: the caller promises that they are there; they are copied at once.
    unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), count) }.to_vec()
}

/// Makes a write at the file's place, and notes it.
fn follow_write(
    fd: c_int,
    real: impl FnOnce() -> ssize_t,
    data: impl FnOnce(usize) -> Vec<u8>,
) -> ssize_t {
    let Some(mut watch) = watch() else { return real() };
    if fd == STANDARD_OUTPUT {
        let written = real();
        if let Ok(count) = usize::try_from(written) {
            watch.said(&data(count));
        }
        return written;
    }
    let Some(path) = watch.path_of(fd) else { return real() };
    if let Some(errno) = watch.fault(Call::Write, &path) {
        watch.note(&Record::WriteFailed { path });
        system::set_errno(errno);
        return -1;
    }
    let written = real();
    if let Ok(count) = usize::try_from(written) {
        // Also where the file is only added to, its place is behind the bytes written last.
        let Some(offset) = system::place(fd).and_then(|end| end.checked_sub(count as u64)) else {
            not_followed("it writes to what has no place");
        };
        watch.note(&Record::Written { path, offset, data: data(count) });
    }
    written
}

/// As `write(2)`.
///
/// # Safety
/// As for the function of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(fd: c_int, bytes: *const c_void, count: size_t) -> ssize_t {
    // SAFETY: both are given what this function was given, and no more is read than was written.
    follow_write(
        fd,
        || unsafe { system::write(fd, bytes, count) },
        |count| unsafe { given(bytes, count) },
    )
}

/// As `writev(2)`.
///
/// # Safety
/// As for the function of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn writev(fd: c_int, parts: *const libc::iovec, count: c_int) -> ssize_t {
    let data = |mut left: usize| {
        let mut data = Vec::new();
        for part in 0..usize::try_from(count).unwrap_or(0) {
            // SAFETY: the caller promises `count` entries with as many bytes as each says.
            let part = unsafe {
                let part = &*parts.add(part);
                given(part.iov_base, part.iov_len.min(left))
            };
            left -= part.len();
            data.extend(part);
        }
        data
    };
    // SAFETY: it is given what this function was given.
    follow_write(fd, || unsafe { system::writev(fd, parts, count) }, data)
}

/// As `pwrite(2)`.
///
/// # Safety
/// As for the function of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite64(
    fd: c_int,
    bytes: *const c_void,
    count: size_t,
    offset: off_t,
) -> ssize_t {
    // SAFETY: it is given what this function was given.
    let real = || unsafe { system::pwrite(fd, bytes, count, offset) };
    let Some(mut watch) = watch() else { return real() };
    let Some(path) = watch.path_of(fd) else { return real() };
    if let Some(errno) = watch.fault(Call::Write, &path) {
        watch.note(&Record::WriteFailed { path });
        system::set_errno(errno);
        return -1;
    }
    let written = real();
    if let (Ok(count), Ok(offset)) = (usize::try_from(written), u64::try_from(offset)) {
        // SAFETY: as many bytes were written from there, so they are there.
        let data = unsafe { given(bytes, count) };
        watch.note(&Record::Written { path, offset, data });
    }
    written
}

/// As `pwrite(2)`.
///
/// # Safety
/// As for the function of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite(
    fd: c_int,
    bytes: *const c_void,
    count: size_t,
    offset: off_t,
) -> ssize_t {
    // SAFETY: it is given what this function was given.
    unsafe { pwrite64(fd, bytes, count, offset) }
}

/// As `ftruncate(2)`.
#[unsafe(no_mangle)]
pub extern "C" fn ftruncate64(fd: c_int, length: off_t) -> c_int {
    let Some(watch) = watch() else { return system::ftruncate(fd, length) };
    let Some(path) = watch.path_of(fd) else { return system::ftruncate(fd, length) };
    let result = system::ftruncate(fd, length);
    if let (0, Ok(length)) = (result, u64::try_from(length)) {
        watch.note(&Record::Resized { path, length });
    }
    result
}

/// As `ftruncate(2)`.
#[unsafe(no_mangle)]
pub extern "C" fn ftruncate(fd: c_int, length: off_t) -> c_int {
    ftruncate64(fd, length)
}

/// Says that a file was synced, or that it was not; the sync of one that is not watched is real.
fn follow_sync(fd: c_int, real: impl FnOnce(c_int) -> c_int) -> c_int {
    let Some(mut held) = watch() else { return real(fd) };
    let Some(path) = held.path_of(fd) else {
        drop(held);
        return real(fd);
    };
    let fault = held.fault(Call::Sync, &path);
    let sync = held.begin_sync(path);
    // Others may write while a sync is under way, and it need not cover that.
    drop(held);
    std::thread::yield_now();
    let note = |record| {
        if let Some(watch) = watch() {
            Watch::note(&watch, &record);
        }
    };
    match fault {
        None => {
            note(Record::SyncDone { sync });
            0
        }
        Some(errno) => {
            note(Record::SyncFailed { sync });
            system::set_errno(errno);
            -1
        }
    }
}

/// As `fsync(2)`.
#[unsafe(no_mangle)]
pub extern "C" fn fsync(fd: c_int) -> c_int {
    follow_sync(fd, system::fsync)
}

/// As `fdatasync(2)`.
#[unsafe(no_mangle)]
pub extern "C" fn fdatasync(fd: c_int) -> c_int {
    follow_sync(fd, system::fdatasync)
}
