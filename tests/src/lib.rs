//! Tests of the whole live beside this file: `tests/`, one program a kind of test. What is here is
//! [`mod@bench`], the measurements behind `cargo run --release -p meridian-tests --bin bench`, and
//! [`mod@chaos`], the faults behind `cargo run -p meridian-tests --bin meridian-chaos`.

pub mod bench;
pub mod chaos;
