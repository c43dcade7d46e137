//! A library preloaded under a process (`LD_PRELOAD`) that records its changes to the files of one
//! directory.
//!
//! All system calls are really made, except for syncs of watched files, which only report success:
//! the journal is sufficient to reconstruct the directory on a disk that lost power at any moment,
//! so nothing needs to reach a real disk.
//!
//! Each system call on a watched file is made and recorded under one lock. The journal is therefore
//! in execution order, and each prefix of it is the result of a process killed at that point.
//!
//! Unsupported operations end the process: writable shared mappings, links, and system calls that
//! modify a file in other ways. System calls that bypass the C library are not seen; the tests
//! therefore verify that the final state of the model equals the real directory.
//!
//! `sync_file_range` is not interposed: it guarantees nothing (sync_file_range(2), "Warning"), and
//! the model does not count it as a sync.

pub mod record;
pub mod system;
pub mod watch;

mod files;
mod names;
