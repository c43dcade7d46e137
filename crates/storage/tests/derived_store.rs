//! Tests of the derived store: applying, reopening, power losses, snapshots, trimming.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "derived_store/applying.rs"]
mod applying;
#[path = "derived_store/crashing.rs"]
mod crashing;
#[path = "derived_store/entries.rs"]
mod entries;
#[path = "derived_store/node.rs"]
mod node;
#[path = "derived_store/opening.rs"]
mod opening;
#[path = "derived_store/snapshots.rs"]
mod snapshots;
#[path = "derived_store/trimming.rs"]
mod trimming;
