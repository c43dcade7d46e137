//! Power loss, lying and full disks, and missing files: verifies what is left on disk.
//!
//! ```text
//! power run DIR     runs the real stores; reports each step once it is acknowledged
//!     | LD_PRELOAD=shim
//!     v
//! journal           every write, name, sync and output, in order             (record)
//!     |
//!     v  cut at any record, with any seed
//! disk              possible contents of the disk                            (disk, tree)
//!     |
//!     v
//! power check DIR   acknowledged data is present, or the stores fail         (expected, check)
//! ```
//!
//! One run covers thousands of power cuts: a prefix of the journal is the journal of a process that
//! was killed at that point.
//!
//! This package must not know how the stores work: [`steps`] calls them as openraft does, and
//! [`check`] uses their public interface. Start reading with `tests/`.

pub mod agent;
pub mod check;
pub mod disk;
pub mod expected;
pub mod node;
pub mod process_run;
pub mod progress;
pub mod steps;
pub mod tree;

pub mod workload;

/// The journal format, included from the shim's source, because neither may be linked into the
/// other.
#[path = "../shim/src/record.rs"]
pub mod record;
