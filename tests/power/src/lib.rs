//! What is on disk after a loss of power, on a disk that lies or is full, and where files are missing.
//!
//! ```text
//! power run DIR     the real stores, step by step; says each step once it is acknowledged
//!     | LD_PRELOAD=shim
//!     v
//! journal           every write, name, sync and word, in order            (record)
//!     |
//!     v  cut anywhere, any seed
//! disk              what a disk may have of it                            (disk, tree)
//!     |
//!     v
//! power check DIR   opens it in a fresh process: all that was said, or a refusal   (expected, check)
//! ```
//!
//! One run gives thousands of places at which the power may be cut, for a journal cut at any place is
//! what a process would have done that was killed there.
//!
//! Must not know how the stores work: [`steps`] calls them as openraft does, and [`check`] looks at
//! what they answer. Start with `tests/`.

pub mod agent;
pub mod check;
pub mod disk;
pub mod expected;
pub mod lives;
pub mod node;
pub mod said;
pub mod steps;
pub mod tree;

pub mod workload;

/// The journal's form: the shim's own source, for neither may be linked into the other.
#[path = "../shim/src/record.rs"]
pub mod record;
