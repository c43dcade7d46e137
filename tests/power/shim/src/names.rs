//! The interposed functions that give files names or take them away, and those that are refused.

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};

use libc::{mode_t, off_t, size_t, ssize_t};

use crate::record::Record;
use crate::system;
use crate::watch::{Watch, not_followed, watch};

/// A path that a call was given.
///
/// # Safety
/// `path` is a C string, which is not changed while the result is used.
unsafe fn text<'a>(path: *const c_char) -> &'a CStr {
    // SAFETY: this is what the caller promises.
    unsafe { CStr::from_ptr(path) }
}

/// As `open(2)`. The mode comes in a register whether or not the caller gives one (it is variadic in
/// C), and is only used where one was given.
///
/// # Safety
/// As for the function of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: it is given what this function was given.
    let real = || unsafe { system::open(path, flags, mode) };
    let Some(watch) = watch() else { return real() };
    // SAFETY: the caller gave a C string.
    let there = system::exists(unsafe { text(path) });
    let fd = real();
    if fd < 0 {
        return fd;
    }
    let Some(path) = watch.path_of(fd) else { return fd };
    if flags & libc::O_DSYNC != 0 || flags & libc::O_TMPFILE == libc::O_TMPFILE {
        not_followed("it opens a file in a mode that is not known");
    }
    if !there {
        watch.note(&Record::Created { path });
    } else if flags & libc::O_TRUNC != 0 {
        watch.note(&Record::Resized { path, length: 0 });
    }
    fd
}

/// As `open(2)`.
///
/// # Safety
/// As for the function of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: it is given what this function was given.
    unsafe { open64(path, flags, mode) }
}

/// As `openat(2)`. What is created through it is not followed.
///
/// # Safety
/// As for the function of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn openat64(
    directory: c_int,
    path: *const c_char,
    flags: c_int,
    mode: mode_t,
) -> c_int {
    if directory == libc::AT_FDCWD {
        // SAFETY: it is given what this function was given.
        return unsafe { open64(path, flags, mode) };
    }
    if flags & (libc::O_CREAT | libc::O_TRUNC) != 0 {
        refuse(directory, "it creates a file by a path that begins at an open directory");
    }
    // SAFETY: it is given what this function was given.
    let fd = unsafe { libc::syscall(libc::SYS_openat, directory, path, flags, mode) };
    c_int::try_from(fd).unwrap_or(-1)
}

/// As `openat(2)`. What is created through it is not followed.
///
/// # Safety
/// As for the function of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn openat(
    directory: c_int,
    path: *const c_char,
    flags: c_int,
    mode: mode_t,
) -> c_int {
    // SAFETY: it is given what this function was given.
    unsafe { openat64(directory, path, flags, mode) }
}

/// As `creat(2)`.
///
/// # Safety
/// As for the function of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn creat64(path: *const c_char, mode: mode_t) -> c_int {
    // SAFETY: it is given what this function was given.
    unsafe { open64(path, libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC, mode) }
}

/// As `rename(2)`.
///
/// # Safety
/// As for the function of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: the caller gave two C strings.
    let (from, to) = unsafe { (text(from), text(to)) };
    let Some(watch) = watch() else { return system::rename(from, to) };
    let result = system::rename(from, to);
    let (from, to) = (from.to_bytes().to_vec(), to.to_bytes().to_vec());
    match (watch.covers(&from), watch.covers(&to)) {
        (false, false) => {}
        (true, true) if result == 0 => watch.note(&Record::Renamed { from, to }),
        (true, true) => {}
        _ => not_followed("it renames a file into or out of the directory"),
    }
    result
}

/// As `unlink(2)`.
///
/// # Safety
/// As for the function of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    // SAFETY: it is given what this function was given.
    unsafe { unlinkat(libc::AT_FDCWD, path, 0) }
}

/// As `unlinkat(2)`.
///
/// # Safety
/// As for the function of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlinkat(directory: c_int, path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: the caller gave a C string, and the rest is numbers.
    let real = || unsafe { system::unlinkat(directory, text(path), flags) };
    let Some(watch) = watch() else { return real() };
    let result = real();
    // SAFETY: the caller gave a C string.
    let name = unsafe { text(path) }.to_bytes();
    let path = match directory {
        libc::AT_FDCWD => Some(name.to_vec()),
        _ => watch.path_of(directory).map(|directory| [&directory[..], b"/", name].concat()),
    };
    if let (0, Some(path)) = (result, path.filter(|path| watch.covers(path))) {
        watch.note(&Record::Unlinked { path });
    }
    result
}

/// As `mkdir(2)`.
///
/// # Safety
/// As for the function of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mkdir(path: *const c_char, mode: mode_t) -> c_int {
    // SAFETY: the caller gave a C string.
    let path = unsafe { text(path) };
    let Some(watch) = watch() else { return system::mkdir(path, mode) };
    let result = system::mkdir(path, mode);
    let path = path.to_bytes().to_vec();
    if result == 0 && watch.covers(&path) {
        watch.note(&Record::DirectoryCreated { path });
    }
    result
}

/// Ends the process if `fd` is watched.
fn refuse(fd: c_int, what: &str) {
    let watched = |watch: &Watch| watch.path_of(fd).is_some();
    if watch().is_some_and(|watch| watched(&watch)) {
        not_followed(what);
    }
}

/// Ends the process if `path` is watched.
fn refuse_path(path: &CStr, what: &str) {
    if watch().is_some_and(|watch| watch.covers(path.to_bytes())) {
        not_followed(what);
    }
}

/// As `mmap(2)`, but never for changing a watched file.
///
/// # Safety
/// As for the function of the C library.
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
        refuse(fd, "it maps a file to change it");
    }
    // SAFETY: it is given what this function was given.
    let mapped: c_long =
        unsafe { libc::syscall(libc::SYS_mmap, address, length, protection, flags, fd, offset) };
    mapped as *mut c_void
}

/// As `truncate(2)`, but never for a watched file.
///
/// # Safety
/// As for the function of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn truncate64(path: *const c_char, length: off_t) -> c_int {
    // SAFETY: the caller gave a C string.
    refuse_path(unsafe { text(path) }, "it truncates a file by its path");
    // SAFETY: it is given what this function was given.
    let result = unsafe { libc::syscall(libc::SYS_truncate, path, length) };
    c_int::try_from(result).unwrap_or(-1)
}

/// As `fallocate(2)`, but never for a watched file.
#[unsafe(no_mangle)]
pub extern "C" fn fallocate64(fd: c_int, mode: c_int, offset: off_t, length: off_t) -> c_int {
    refuse(fd, "it allocates room in a file");
    // SAFETY: only numbers go in, and the kernel checks them.
    let result = unsafe { libc::syscall(libc::SYS_fallocate, fd, mode, offset, length) };
    c_int::try_from(result).unwrap_or(-1)
}

/// As `copy_file_range(2)`, but never into a watched file.
///
/// # Safety
/// As for the function of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn copy_file_range(
    from: c_int,
    from_offset: *mut off_t,
    to: c_int,
    to_offset: *mut off_t,
    length: size_t,
    flags: c_uint,
) -> ssize_t {
    refuse(to, "it copies into a file");
    let call = libc::SYS_copy_file_range;
    // SAFETY: it is given what this function was given.
    let result = unsafe { libc::syscall(call, from, from_offset, to, to_offset, length, flags) };
    ssize_t::try_from(result).unwrap_or(-1)
}

/// As `link(2)`, but never for a watched file.
///
/// # Safety
/// As for the function of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn link(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: the caller gave a C string.
    refuse_path(unsafe { text(to) }, "it makes a link");
    let here = libc::AT_FDCWD;
    // SAFETY: it is given what this function was given.
    let result = unsafe { libc::syscall(libc::SYS_linkat, here, from, here, to, 0) };
    c_int::try_from(result).unwrap_or(-1)
}

/// As `rmdir(2)`.
///
/// # Safety
/// As for the function of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmdir(path: *const c_char) -> c_int {
    // SAFETY: it is given what this function was given.
    unsafe { unlinkat(libc::AT_FDCWD, path, libc::AT_REMOVEDIR) }
}
