//! The backends of APIs, and the connections to them.
//!
//! A worker has connections of its own, in an [`Origin`]'s pools. A call has one of HTTP/1.1 for
//! itself, and gives it back at the end of its answer; of HTTP/2 it has one place among others. Start
//! with [`Connector`], then [`Lease`].

mod connect;
mod exclusive;
mod form;
mod lease;
mod multiplexed;
mod origin;
mod pool;
mod trouble;
mod upload;

pub(crate) use connect::{ConnectError, Connector};
pub(crate) use form::Form;
pub(crate) use lease::Lease;
pub(crate) use origin::Origin;
pub(crate) use upload::{Progress, Upload};
