//! The raw system calls. The library functions cannot be used here: `write`, for example, would
//! call the shim again.
//!
//! Each function returns the value of the C library function with the same name and sets `errno`
//! like it, because `syscall(2)` does both.

use std::ffi::{CStr, c_int, c_long, c_void};

use libc::{mode_t, off_t, size_t, ssize_t};

/// # Safety
/// As for `openat(2)` with `AT_FDCWD`: `path` is a C string.
#[must_use]
pub unsafe fn open(path: *const libc::c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: guaranteed by the caller.
    narrow(unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path, flags, mode) })
}

/// # Safety
/// As for `write(2)`: `bytes` has at least `count` bytes.
#[must_use]
pub unsafe fn write(fd: c_int, bytes: *const c_void, count: size_t) -> ssize_t {
    // SAFETY: guaranteed by the caller.
    wide(unsafe { libc::syscall(libc::SYS_write, fd, bytes, count) })
}

/// # Safety
/// As for `pwrite(2)`: `bytes` has at least `count` bytes.
#[must_use]
pub unsafe fn pwrite(fd: c_int, bytes: *const c_void, count: size_t, offset: off_t) -> ssize_t {
    // SAFETY: guaranteed by the caller.
    wide(unsafe { libc::syscall(libc::SYS_pwrite64, fd, bytes, count, offset) })
}

/// # Safety
/// As for `writev(2)`: `parts` has `count` valid entries.
#[must_use]
pub unsafe fn writev(fd: c_int, parts: *const libc::iovec, count: c_int) -> ssize_t {
    // SAFETY: guaranteed by the caller.
    wide(unsafe { libc::syscall(libc::SYS_writev, fd, parts, count) })
}

/// Changes the length of an open file.
#[must_use]
pub fn ftruncate(fd: c_int, length: off_t) -> c_int {
    // SAFETY: all arguments are numbers, which the kernel validates.
    narrow(unsafe { libc::syscall(libc::SYS_ftruncate, fd, length) })
}

/// Renames `from` to `to`.
#[must_use]
pub fn rename(from: &CStr, to: &CStr) -> c_int {
    let here = libc::AT_FDCWD;
    // SAFETY: both are C strings that outlive the call.
    narrow(unsafe { libc::syscall(libc::SYS_renameat2, here, from.as_ptr(), here, to.as_ptr(), 0) })
}

/// Removes a file or directory, relative to an open directory.
#[must_use]
pub fn unlinkat(directory: c_int, path: &CStr, flags: c_int) -> c_int {
    // SAFETY: the path is a C string that outlives the call.
    narrow(unsafe { libc::syscall(libc::SYS_unlinkat, directory, path.as_ptr(), flags) })
}

/// Creates a directory.
#[must_use]
pub fn mkdir(path: &CStr, mode: mode_t) -> c_int {
    // SAFETY: the path is a C string that outlives the call.
    narrow(unsafe { libc::syscall(libc::SYS_mkdirat, libc::AT_FDCWD, path.as_ptr(), mode) })
}

/// Syncs a file that is not watched.
#[must_use]
pub fn fsync(fd: c_int) -> c_int {
    // SAFETY: the argument is a number, which the kernel validates.
    narrow(unsafe { libc::syscall(libc::SYS_fsync, fd) })
}

/// Syncs the content of a file that is not watched.
#[must_use]
pub fn fdatasync(fd: c_int) -> c_int {
    // SAFETY: the argument is a number, which the kernel validates.
    narrow(unsafe { libc::syscall(libc::SYS_fdatasync, fd) })
}

/// Returns true if `path` exists.
#[must_use]
pub fn exists(path: &CStr) -> bool {
    let here = libc::AT_FDCWD;
    // SAFETY: the path is a C string that outlives the call.
    let found = unsafe { libc::syscall(libc::SYS_faccessat, here, path.as_ptr(), libc::F_OK) };
    found == 0
}

/// Returns the position of an open file, or `None` if it has no position.
#[must_use]
pub fn position(fd: c_int) -> Option<u64> {
    // SAFETY: all arguments are numbers, which the kernel validates.
    let position = unsafe { libc::syscall(libc::SYS_lseek, fd, 0, libc::SEEK_CUR) };
    u64::try_from(position).ok()
}

/// Returns the current path of an open file, or `None` if it has no path.
#[must_use]
pub fn path_of(fd: c_int) -> Option<Vec<u8>> {
    let link = std::ffi::CString::new(format!("/proc/self/fd/{fd}")).ok()?;
    let mut path = vec![0_u8; libc::PATH_MAX as usize];
    let (to, size) = (path.as_mut_ptr(), path.len());
    // SAFETY: the link is a C string and the buffer has `size` bytes; both outlive the call.
    let length =
        unsafe { libc::syscall(libc::SYS_readlinkat, libc::AT_FDCWD, link.as_ptr(), to, size) };
    path.truncate(usize::try_from(length).ok()?);
    Some(path)
}

/// Registers a function to be called at a regular exit of the process.
pub fn at_exit(handler: extern "C" fn()) {
    // SAFETY: the function exists for the lifetime of the process. On failure it is not called.
    unsafe { libc::atexit(handler) };
}

/// Exits immediately like a killed process, without flushing anything.
pub fn exit_now(code: c_int) -> ! {
    loop {
        // SAFETY: the argument is a number, and the call does not return.
        unsafe { libc::syscall(libc::SYS_exit_group, code) };
    }
}

/// Sets `errno` for the caller of an interposed function.
pub fn set_errno(errno: c_int) {
    // SAFETY: `__errno_location` returns a valid address of the calling thread.
    unsafe { *libc::__errno_location() = errno };
}

fn narrow(result: c_long) -> c_int {
    c_int::try_from(result).unwrap_or(-1)
}

fn wide(result: c_long) -> ssize_t {
    ssize_t::try_from(result).unwrap_or(-1)
}
