//! The backends of APIs, and the connections to them.
//!
//! Each worker has its own connections, in the pool of an [`Origin`]. A request uses an HTTP/1.1
//! connection exclusively and returns it at the end of the response. On an HTTP/2 connection it
//! uses one stream of many. Start with [`Connector`], then [`Lease`].

mod backend_error_log;
mod connect;
mod convert;
mod http1_connection;
mod http2_connection;
mod lease;
mod origin;
mod pool;
mod upload;

pub(crate) use connect::{ConnectError, Connector};
pub(crate) use convert::ConvertOptions;
pub(crate) use lease::Lease;
pub(crate) use origin::Origin;
pub(crate) use upload::{Progress, Upload};
