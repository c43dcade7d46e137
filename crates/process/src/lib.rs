//! Limits and protection of the process of an agent or a unit, set at its start.
//!
//! This is the only released crate with `unsafe` code, in [`inherited`]. It must not know what the
//! process does.

pub mod inherited;

use std::io;

use rustix::fs::Mode;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit, umask,
};

/// Raises the limit of open files to the maximum that the process may set, and returns the limit, with
/// the reason if it could not be raised: the maximum may be above `fs.nr_open`. The usual limit of
/// 1,024 is meant for programs that use select(2).
pub fn raise_file_limit() -> (u64, io::Result<()>) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let limit = if raised.is_ok() { maximum } else { current };
    (limit.unwrap_or(u64::MAX), raised.map_err(io::Error::from))
}

/// Makes all files that this process and its children create accessible only to its user, including
/// those that libraries create.
pub fn restrict_new_files() {
    umask(Mode::RWXG | Mode::RWXO);
}

/// Denies other processes of the same user, such as units, access to the memory and the descriptors
/// of this one, which hold keys and the sockets of its peers. The process leaves no core dump, and
/// only root can attach a debugger (prctl(2), `PR_SET_DUMPABLE`).
///
/// # Errors
/// If the operating system refuses.
pub fn deny_inspection() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_limit_of_open_files_is_the_maximum() {
        let (limit, raised) = raise_file_limit();
        raised.expect("is allowed");
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!((current.unwrap_or(u64::MAX), current), (limit, maximum));
    }

    #[test]
    fn a_process_that_denies_inspection_still_reads_its_own_descriptors() {
        deny_inspection().expect("is allowed");
        let behavior = rustix::process::dumpable_behavior().expect("is readable");
        assert_eq!(behavior, DumpableBehavior::NotDumpable);
        assert!(fs::read_dir("/proc/self/fd").expect("is readable").count() > 2);
        assert!(
            fs::read_link("/proc/self/exe").is_ok() && fs::read_link("/proc/self/fd/0").is_ok()
        );
    }
}
