//! Fuzz targets for all decoders of bytes from disk or from peers, which may be malicious.
//!
//! Each module is one target with a function `accepts`. It passes the bytes to the decoder, returns
//! true if they decode, and panics if the decoder violates a guarantee, above all that a decoded
//! value survives encoding and decoding. The fuzzer runs the targets from `fuzz_targets/`. The
//! workspace compiles this file into the test `decoders`, which replays the corpus and mutations of
//! it. A fuzzer cannot guess checksums, so most targets also try the bytes as the body of an
//! envelope with a valid checksum.

pub mod agent_files;
pub mod control_frames;
pub mod derived_store;
pub mod envelope;
pub mod events;
pub mod gateway_configuration;
pub mod name_server;
pub mod peer_messages;
pub mod raft_files;
pub mod raft_log;
pub mod requests;
pub mod rows;
pub mod snapshot;

mod envelopes;
mod environment;

/// Passes bytes to a decoder, and returns true if they decode.
pub type Target = fn(&[u8]) -> bool;

/// All targets by name, which is also that of their program and corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("agent_files", agent_files::accepts),
    ("control_frames", control_frames::accepts),
    ("derived_store", derived_store::accepts),
    ("envelope", envelope::accepts),
    ("events", events::accepts),
    ("gateway_configuration", gateway_configuration::accepts),
    ("name_server", name_server::accepts),
    ("peer_messages", peer_messages::accepts),
    ("raft_files", raft_files::accepts),
    ("raft_log", raft_log::accepts),
    ("requests", requests::accepts),
    ("rows", rows::accepts),
    ("snapshot", snapshot::accepts),
];
