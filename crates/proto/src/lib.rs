//! The contracts of `proto/meridian/v1` as Rust types, and the conversions between them and the
//! domain's types. The `.proto` files are the documentation of both. The two sides of a unit's
//! control socket share [`frame`] and [`fd_passing`].

pub mod convert;
pub mod fd_passing;
pub mod frame;

/// Version 1 of the contracts.
#[allow(missing_docs, reason = "generated; the contracts document it")]
#[allow(
    unused_qualifications,
    clippy::all,
    clippy::pedantic,
    clippy::unwrap_used,
    reason = "generated"
)]
pub mod v1 {
    tonic::include_proto!("meridian.v1");
}

/// Compiled contracts, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/meridian.bin"));
