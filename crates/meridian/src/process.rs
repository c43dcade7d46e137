//! Limits and protection of this process.

use std::io;

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};

/// Raises the limit of open files to the maximum that the process may set, and returns it. The usual
/// limit of 1,024 is meant for programs that use select(2).
///
/// # Errors
/// If the operating system refuses.
pub fn raise_file_limit() -> io::Result<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    }
    Ok(maximum.unwrap_or(u64::MAX))
}

/// Makes all files that this process and its children create accessible only to its user, including
/// those that libraries create.
pub fn restrict_new_files() {
    umask(Mode::RWXG | Mode::RWXO);
}
