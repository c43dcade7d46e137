//! Interposed functions that modify file contents or make them durable.

use std::ffi::{c_int, c_void};

use libc::{off_t, size_t, ssize_t};

use crate::record::Record;
use crate::system;
use crate::watch::{Operation, Watch, unsupported, watch};

const STANDARD_OUTPUT: c_int = 1;

/// Copies the bytes of a buffer passed by the process.
///
/// # Safety
/// `bytes` has at least `count` bytes, or `count` is 0.
unsafe fn copy_bytes(bytes: *const c_void, count: usize) -> Vec<u8> {
    if count == 0 {
        return Vec::new();
    }
    // SAFETY: the caller guarantees `count` readable bytes; they are copied immediately.
    unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), count) }.to_vec()
}

/// Performs a write at the current file position, and records it.
fn record_write(
    fd: c_int,
    real: impl FnOnce() -> ssize_t,
    data: impl FnOnce(usize) -> Vec<u8>,
) -> ssize_t {
    let Some(mut watch) = watch() else { return real() };
    if fd == STANDARD_OUTPUT {
        let written = real();
        if let Ok(count) = usize::try_from(written) {
            watch.output(&data(count));
        }
        return written;
    }
    let Some(path) = watch.path_of(fd) else { return real() };
    if let Some(errno) = watch.fault(Operation::Write, &path) {
        watch.record(&Record::WriteFailed { path });
        system::set_errno(errno);
        return -1;
    }
    let written = real();
    if let Ok(count) = usize::try_from(written) {
        // In append mode, too, the position is after the last written byte.
        let Some(offset) = system::position(fd).and_then(|end| end.checked_sub(count as u64))
        else {
            unsupported("write to a file without a position");
        };
        watch.record(&Record::Written { path, offset, data: data(count) });
    }
    written
}

/// See `write(2)`.
///
/// # Safety
/// As for the C library function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(fd: c_int, bytes: *const c_void, count: size_t) -> ssize_t {
    // SAFETY: both closures pass on the arguments, and read at most as many bytes as were written.
    record_write(
        fd,
        || unsafe { system::write(fd, bytes, count) },
        |count| unsafe { copy_bytes(bytes, count) },
    )
}

/// See `writev(2)`.
///
/// # Safety
/// As for the C library function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn writev(fd: c_int, parts: *const libc::iovec, count: c_int) -> ssize_t {
    let data = |mut left: usize| {
        let mut data = Vec::new();
        for part in 0..usize::try_from(count).unwrap_or(0) {
            // SAFETY: the caller guarantees `count` valid entries.
            let part = unsafe {
                let part = &*parts.add(part);
                copy_bytes(part.iov_base, part.iov_len.min(left))
            };
            left -= part.len();
            data.extend(part);
        }
        data
    };
    // SAFETY: the arguments are passed on.
    record_write(fd, || unsafe { system::writev(fd, parts, count) }, data)
}

/// See `pwrite(2)`.
///
/// # Safety
/// As for the C library function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite64(
    fd: c_int,
    bytes: *const c_void,
    count: size_t,
    offset: off_t,
) -> ssize_t {
    // SAFETY: the arguments are passed on.
    let real = || unsafe { system::pwrite(fd, bytes, count, offset) };
    let Some(mut watch) = watch() else { return real() };
    let Some(path) = watch.path_of(fd) else { return real() };
    if let Some(errno) = watch.fault(Operation::Write, &path) {
        watch.record(&Record::WriteFailed { path });
        system::set_errno(errno);
        return -1;
    }
    let written = real();
    if let (Ok(count), Ok(offset)) = (usize::try_from(written), u64::try_from(offset)) {
        // SAFETY: `count` bytes were written from the buffer, so they are readable.
        let data = unsafe { copy_bytes(bytes, count) };
        watch.record(&Record::Written { path, offset, data });
    }
    written
}

/// See `pwrite(2)`.
///
/// # Safety
/// As for the C library function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite(
    fd: c_int,
    bytes: *const c_void,
    count: size_t,
    offset: off_t,
) -> ssize_t {
    // SAFETY: the arguments are passed on.
    unsafe { pwrite64(fd, bytes, count, offset) }
}

/// See `ftruncate(2)`.
#[unsafe(no_mangle)]
pub extern "C" fn ftruncate64(fd: c_int, length: off_t) -> c_int {
    let Some(watch) = watch() else { return system::ftruncate(fd, length) };
    let Some(path) = watch.path_of(fd) else { return system::ftruncate(fd, length) };
    let result = system::ftruncate(fd, length);
    if let (0, Ok(length)) = (result, u64::try_from(length)) {
        watch.record(&Record::Resized { path, length });
    }
    result
}

/// See `ftruncate(2)`.
#[unsafe(no_mangle)]
pub extern "C" fn ftruncate(fd: c_int, length: off_t) -> c_int {
    ftruncate64(fd, length)
}

/// Records the sync of a watched file instead of performing it; other files are really synced.
fn record_sync(fd: c_int, real: impl FnOnce(c_int) -> c_int) -> c_int {
    let Some(mut held) = watch() else { return real(fd) };
    let Some(path) = held.path_of(fd) else {
        drop(held);
        return real(fd);
    };
    let fault = held.fault(Operation::Sync, &path);
    let sync = held.start_sync(path);
    // Release the lock: other threads may write during a sync, which need not cover these writes.
    drop(held);
    std::thread::yield_now();
    let finish = |record| {
        if let Some(watch) = watch() {
            Watch::record(&watch, &record);
        }
    };
    match fault {
        None => {
            finish(Record::SyncDone { sync });
            0
        }
        Some(errno) => {
            finish(Record::SyncFailed { sync });
            system::set_errno(errno);
            -1
        }
    }
}

/// See `fsync(2)`.
#[unsafe(no_mangle)]
pub extern "C" fn fsync(fd: c_int) -> c_int {
    record_sync(fd, system::fsync)
}

/// See `fdatasync(2)`.
#[unsafe(no_mangle)]
pub extern "C" fn fdatasync(fd: c_int) -> c_int {
    record_sync(fd, system::fdatasync)
}
