//! Interposed functions that add or remove names of files, and those that are unsupported.

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};

use libc::{mode_t, off_t, size_t, ssize_t};

use crate::record::Record;
use crate::system;
use crate::watch::{Watch, unsupported, watch};

/// Returns a path passed by the process.
///
/// # Safety
/// `path` is a C string that is not modified while the result is used.
unsafe fn c_str<'a>(path: *const c_char) -> &'a CStr {
    // SAFETY: guaranteed by the caller.
    unsafe { CStr::from_ptr(path) }
}

/// See `open(2)`. The function is variadic in C: the mode is read from its register even if the
/// caller did not pass one, and is only used with flags that require it.
///
/// # Safety
/// As for the C library function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the arguments are passed on.
    let real = || unsafe { system::open(path, flags, mode) };
    let Some(watch) = watch() else { return real() };
    // SAFETY: the caller passes a C string.
    let existed = system::exists(unsafe { c_str(path) });
    let fd = real();
    if fd < 0 {
        return fd;
    }
    let Some(path) = watch.path_of(fd) else { return fd };
    if flags & libc::O_DSYNC != 0 || flags & libc::O_TMPFILE == libc::O_TMPFILE {
        unsupported("open with O_DSYNC or O_TMPFILE");
    }
    if !existed {
        watch.record(&Record::Created { path });
    } else if flags & libc::O_TRUNC != 0 {
        watch.record(&Record::Resized { path, length: 0 });
    }
    fd
}

/// See `open(2)`.
///
/// # Safety
/// As for the C library function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the arguments are passed on.
    unsafe { open64(path, flags, mode) }
}

/// See `openat(2)`. Creating a file relative to an open directory is unsupported.
///
/// # Safety
/// As for the C library function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn openat64(
    directory: c_int,
    path: *const c_char,
    flags: c_int,
    mode: mode_t,
) -> c_int {
    if directory == libc::AT_FDCWD {
        // SAFETY: the arguments are passed on.
        return unsafe { open64(path, flags, mode) };
    }
    if flags & (libc::O_CREAT | libc::O_TRUNC) != 0 {
        reject(directory, "creating a file relative to an open directory");
    }
    // SAFETY: the arguments are passed on.
    let fd = unsafe { libc::syscall(libc::SYS_openat, directory, path, flags, mode) };
    c_int::try_from(fd).unwrap_or(-1)
}

/// See `openat(2)`. Creating a file relative to an open directory is unsupported.
///
/// # Safety
/// As for the C library function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn openat(
    directory: c_int,
    path: *const c_char,
    flags: c_int,
    mode: mode_t,
) -> c_int {
    // SAFETY: the arguments are passed on.
    unsafe { openat64(directory, path, flags, mode) }
}

/// See `creat(2)`.
///
/// # Safety
/// As for the C library function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn creat64(path: *const c_char, mode: mode_t) -> c_int {
    // SAFETY: the arguments are passed on.
    unsafe { open64(path, libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC, mode) }
}

/// See `rename(2)`.
///
/// # Safety
/// As for the C library function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: the caller passes two C strings.
    let (from, to) = unsafe { (c_str(from), c_str(to)) };
    let Some(watch) = watch() else { return system::rename(from, to) };
    let result = system::rename(from, to);
    let (from, to) = (from.to_bytes().to_vec(), to.to_bytes().to_vec());
    match (watch.covers(&from), watch.covers(&to)) {
        (false, false) => {}
        (true, true) if result == 0 => watch.record(&Record::Renamed { from, to }),
        (true, true) => {}
        _ => unsupported("renaming a file into or out of the directory"),
    }
    result
}

/// See `unlink(2)`.
///
/// # Safety
/// As for the C library function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    // SAFETY: the arguments are passed on.
    unsafe { unlinkat(libc::AT_FDCWD, path, 0) }
}

/// See `unlinkat(2)`.
///
/// # Safety
/// As for the C library function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlinkat(directory: c_int, path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: the caller passes a C string.
    let real = || unsafe { system::unlinkat(directory, c_str(path), flags) };
    let Some(watch) = watch() else { return real() };
    let result = real();
    // SAFETY: the caller passes a C string.
    let name = unsafe { c_str(path) }.to_bytes();
    let path = match directory {
        libc::AT_FDCWD => Some(name.to_vec()),
        _ => watch.path_of(directory).map(|directory| [&directory[..], b"/", name].concat()),
    };
    if let (0, Some(path)) = (result, path.filter(|path| watch.covers(path))) {
        watch.record(&Record::Unlinked { path });
    }
    result
}

/// See `mkdir(2)`.
///
/// # Safety
/// As for the C library function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mkdir(path: *const c_char, mode: mode_t) -> c_int {
    // SAFETY: the caller passes a C string.
    let path = unsafe { c_str(path) };
    let Some(watch) = watch() else { return system::mkdir(path, mode) };
    let result = system::mkdir(path, mode);
    let path = path.to_bytes().to_vec();
    if result == 0 && watch.covers(&path) {
        watch.record(&Record::DirectoryCreated { path });
    }
    result
}

/// Ends the process if `fd` is watched.
fn reject(fd: c_int, what: &str) {
    let watched = |watch: &Watch| watch.path_of(fd).is_some();
    if watch().is_some_and(|watch| watched(&watch)) {
        unsupported(what);
    }
}

/// Ends the process if `path` is watched.
fn reject_path(path: &CStr, what: &str) {
    if watch().is_some_and(|watch| watch.covers(path.to_bytes())) {
        unsupported(what);
    }
}

/// See `mmap(2)`. Writable shared mappings of watched files are unsupported.
///
/// # Safety
/// As for the C library function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mmap64(
    address: *mut c_void,
    length: size_t,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    offset: off_t,
) -> *mut c_void {
    let shared = flags & libc::MAP_TYPE != libc::MAP_PRIVATE;
    if fd >= 0 && shared && protection & libc::PROT_WRITE != 0 {
        reject(fd, "writable shared mapping of a file");
    }
    // SAFETY: the arguments are passed on.
    let mapped: c_long =
        unsafe { libc::syscall(libc::SYS_mmap, address, length, protection, flags, fd, offset) };
    mapped as *mut c_void
}

/// See `truncate(2)`. Unsupported for watched files.
///
/// # Safety
/// As for the C library function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn truncate64(path: *const c_char, length: off_t) -> c_int {
    // SAFETY: the caller passes a C string.
    reject_path(unsafe { c_str(path) }, "truncating a file by path");
    // SAFETY: the arguments are passed on.
    let result = unsafe { libc::syscall(libc::SYS_truncate, path, length) };
    c_int::try_from(result).unwrap_or(-1)
}

/// See `fallocate(2)`. Unsupported for watched files.
#[unsafe(no_mangle)]
pub extern "C" fn fallocate64(fd: c_int, mode: c_int, offset: off_t, length: off_t) -> c_int {
    reject(fd, "allocating space in a file");
    // SAFETY: all arguments are numbers, which the kernel validates.
    let result = unsafe { libc::syscall(libc::SYS_fallocate, fd, mode, offset, length) };
    c_int::try_from(result).unwrap_or(-1)
}

/// See `copy_file_range(2)`. Unsupported if the destination is watched.
///
/// # Safety
/// As for the C library function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn copy_file_range(
    from: c_int,
    from_offset: *mut off_t,
    to: c_int,
    to_offset: *mut off_t,
    length: size_t,
    flags: c_uint,
) -> ssize_t {
    reject(to, "copying into a file");
    let call = libc::SYS_copy_file_range;
    // SAFETY: the arguments are passed on.
    let result = unsafe { libc::syscall(call, from, from_offset, to, to_offset, length, flags) };
    ssize_t::try_from(result).unwrap_or(-1)
}

/// See `link(2)`. Unsupported for watched files.
///
/// # Safety
/// As for the C library function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn link(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: the caller passes a C string.
    reject_path(unsafe { c_str(to) }, "creating a link");
    let here = libc::AT_FDCWD;
    // SAFETY: the arguments are passed on.
    let result = unsafe { libc::syscall(libc::SYS_linkat, here, from, here, to, 0) };
    c_int::try_from(result).unwrap_or(-1)
}

/// See `rmdir(2)`.
///
/// # Safety
/// As for the C library function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmdir(path: *const c_char) -> c_int {
    // SAFETY: the arguments are passed on.
    unsafe { unlinkat(libc::AT_FDCWD, path, libc::AT_REMOVEDIR) }
}
