//! Code of the end-to-end tests, and of the programs that developers run themselves. The tests are
//! next to it in `tests/`, one program per kind of test.
//!
//! | module | program |
//! | --- | --- |
//! | [`mod@bench`] | `cargo run --release -p meridian-tests --bin bench`: benchmarks |
//! | [`mod@chaos`] | `cargo run -p meridian-tests --bin meridian-chaos`: fault injection with invariant checks |
//! | [`mod@region_loss`] | `cargo run -p meridian-tests --bin region-loss`: clients of a region that is killed and returns |
//! | [`mod@traffic`] | `cargo run -p meridian-tests --bin traffic`: requests during changes and crashes |
//!
//! [`mod@load`] contains the HTTP clients and backends used by the others, [`mod@dns`] their resolver, and [`mod@page`]
//! the browser of the portal's tests.

pub mod bench;
pub mod chaos;
pub mod dns;
pub mod load;
pub mod page;
pub mod region_loss;
pub mod traffic;
