//! What is done to each decoder that reads bytes from disk or from peers, with bytes that anybody
//! may have chosen.
//!
//! Each module is one target and has one function, `understands`: it gives the bytes to the decoder,
//! says whether they made sense, and panics where the decoder broke a promise (most of all: that
//! what was decoded is written and read again as the same). The fuzzer calls them from
//! `fuzz_targets/`; the workspace compiles this very file into the test `decoders`, which replays
//! the corpus and mutations of it. Checksums keep a fuzzer out: so most targets also try the bytes
//! as the inside of an envelope whose checksum is right.

pub mod agent_files;
pub mod control_frames;
pub mod derived_store;
pub mod envelope;
pub mod events;
pub mod gateway_configuration;
pub mod peer_messages;
pub mod raft_files;
pub mod raft_log;
pub mod requests;
pub mod rows;
pub mod snapshot;

mod sealed;
mod world;

/// Gives bytes to a decoder, and says whether they made sense to it.
pub type Target = fn(&[u8]) -> bool;

/// Every target, by the name of its program and of its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("agent_files", agent_files::understands),
    ("control_frames", control_frames::understands),
    ("derived_store", derived_store::understands),
    ("envelope", envelope::understands),
    ("events", events::understands),
    ("gateway_configuration", gateway_configuration::understands),
    ("peer_messages", peer_messages::understands),
    ("raft_files", raft_files::understands),
    ("raft_log", raft_log::understands),
    ("requests", requests::understands),
    ("rows", rows::understands),
    ("snapshot", snapshot::understands),
];
