//! Preloaded under a process (`LD_PRELOAD`), notes what it does to the files of one directory.
//!
//! The calls really happen, but for syncs of watched files, which only are said to have happened:
//! what is in the journal is enough to make the directory as a disk would have it after a loss of
//! power at any moment, so nothing has to reach a real one.
//!
//! Every call on a watched file is made and noted under one lock. The journal therefore is the order
//! in which things happened, and each of its prefixes is what a process killed there has done.
//!
//! What the shim does not know ends the process: shared writable mappings, syncs of ranges that would
//! be relied on, links, files that another call fills. A process that makes system calls past the C
//! library is not seen; that the model of the journal's end equals the real directory is tested.
//!
//! `sync_file_range` is left alone: it promises nothing (sync_file_range(2), "Warning"), and nothing is
//! what the model gives for it.

pub mod record;
pub mod system;
pub mod watch;

mod files;
mod names;
