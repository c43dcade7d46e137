//! Descriptors that this process inherited from its parent.
//!
//! Everything that Rust opens is closed when another program is executed. What the parent left open
//! is not: it would pass through an agent to its units, which outlive it.

use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};

use rustix::io::{Errno, FdFlags, fcntl_getfd, fcntl_setfd};

/// Highest standard descriptor.
const STANDARD_ERROR: RawFd = 2;

/// Keeps the descriptors above the standard ones from the programs that this process executes. They
/// stay open here: a library that is preloaded may use them. Meant for the start of a process, before
/// it has threads.
///
/// # Errors
/// If the descriptors cannot be listed or changed.
pub fn close_on_exec() -> io::Result<()> {
    let entries = fs::read_dir("/proc/self/fd")?;
    let numbers = entries.map(|entry| Ok(entry?.file_name().to_str().and_then(|n| n.parse().ok())));
    let numbers: Vec<Option<RawFd>> = numbers.collect::<io::Result<_>>()?;
    for number in numbers.into_iter().flatten().filter(|number| *number > STANDARD_ERROR) {
        // SAFETY: the number is not -1, and the borrow ends within this iteration. The descriptor was
        // open a moment ago; nothing closes it, because there is no other thread, except for the
        // listing itself, whose number is then not open. Only a flag is read and written, which
        // neither closes the descriptor nor affects its owner.
        #[allow(unsafe_code, reason = "a descriptor without an owner can be named in no other way")]
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        match fcntl_getfd(descriptor)
            .and_then(|flags| fcntl_setfd(descriptor, flags | FdFlags::CLOEXEC))
        {
            Err(Errno::BADF) => {}
            changed => changed?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rustix::io::dup;

    use super::*;

    #[test]
    fn an_inherited_descriptor_is_not_passed_on() {
        let file = tempfile::tempfile().expect("a temporary file");
        // Without the flag, as if it were inherited.
        let leaked = dup(&file).expect("is duplicated");
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&leaked));
        let is_passed_on = || {
            let listed = Command::new("test").args(["-e", &path]).status();
            listed.expect("is executed").success()
        };
        assert!(is_passed_on());
        close_on_exec().expect("is changed");
        assert!(!is_passed_on());
    }
}
