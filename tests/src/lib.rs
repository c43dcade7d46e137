//! Tests of the whole live beside this file: `tests/`, one program a kind of test. What is here is
//! [`mod@bench`], the measurements behind `cargo run --release -p meridian-tests --bin bench`, and
//! [`mod@load`], callers and backends that count; [`mod@traffic`] keeps such callers on a cluster.

pub mod bench;
pub mod load;
pub mod traffic;
