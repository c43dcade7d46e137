//! The backends of APIs, and the connections to them.

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
