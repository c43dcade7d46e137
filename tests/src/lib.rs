//! Tests of the whole live beside this file: `tests/`, one program a kind of test. What is here are the
//! programs that people run themselves:
//!
//! | module | behind |
//! | --- | --- |
//! | [`mod@bench`] | `cargo run --release -p meridian-tests --bin bench`: the measurements |
//! | [`mod@chaos`] | `cargo run -p meridian-tests --bin meridian-chaos`: faults, and their judge |
//! | [`mod@traffic`] | `cargo run -p meridian-tests --bin traffic`: calls while everything changes |
//!
//! [`mod@load`] has the callers and backends that count, for the others.

pub mod bench;
pub mod chaos;
pub mod load;
pub mod traffic;
