//! Exclusive or shared use of a backend connection by one request.

use std::fmt;
use std::sync::Arc;

use futures::future::Either;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::{Request, Response};

use super::convert::{self, ConvertOptions};
use super::origin::Origin;
use super::pool::PooledConnection;
use super::upload::{Progress, Upload};

/// A request's use of a connection: all of an HTTP/1.1 connection, or one stream of an HTTP/2
/// connection.
pub(crate) struct Lease {
    connection: PooledConnection,
    origin: Arc<Origin>,
    progress: Option<Arc<Progress>>,
    /// True if the connection was dialed for this request.
    is_new: bool,
}

impl Lease {
    /// Creates the lease of a connection that was already open.
    pub(super) fn reused(connection: PooledConnection, origin: &Arc<Origin>) -> Self {
        Self { connection, origin: Arc::clone(origin), progress: None, is_new: false }
    }

    /// Creates the lease of a connection that was dialed for this request.
    pub(super) fn fresh(connection: PooledConnection, origin: &Arc<Origin>) -> Self {
        Self { is_new: true, ..Self::reused(connection, origin) }
    }

    /// Returns true if the connection was dialed for this request.
    pub(crate) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Returns true if the protocol lets the backend refuse a request before it processes it.
    pub(crate) fn can_refuse(&self) -> bool {
        matches!(self.connection, PooledConnection::Http2(_))
    }

    /// Returns true if a part of a response, or something that is not a response, has arrived.
    pub(crate) fn has_received(&self) -> bool {
        match &self.connection {
            PooledConnection::Http1(connection) => connection.has_received(),
            // Over HTTP/2, invalid data is an error of the whole connection.
            PooledConnection::Http2(_) => false,
        }
    }

    /// Converts `request` to the connection's protocol and sends it; `progress` is that of its
    /// body.
    pub(crate) fn send(
        &mut self,
        mut request: Request<Upload>,
        options: ConvertOptions,
        progress: Option<Arc<Progress>>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Upload>>>> + use<>
    {
        let has_body = progress.is_some();
        self.progress = progress;
        match &mut self.connection {
            PooledConnection::Http1(connection) => {
                convert::to_http1(&mut request, &self.origin, has_body);
                Either::Left(connection.start_request().try_send_request(request))
            }
            PooledConnection::Http2(permit) => {
                convert::to_http2(&mut request, &self.origin, options);
                Either::Right(permit.sender().try_send_request(request))
            }
        }
    }

    /// Returns the connection to the pool. Must be called at the end of a response.
    pub(crate) fn release(self) {
        // A response may end before the request was read. The rest of the request would block the
        // connection.
        let is_complete = self.progress.as_ref().is_none_or(|progress| progress.is_complete());
        if !is_complete {
            self.retire();
        }
        if let PooledConnection::Http1(connection) = self.connection
            && is_complete
            && !connection.is_closed()
        {
            self.origin.pool().put_idle(connection);
        }
    }

    /// Stops other requests from using the connection, after a timeout on it: the other end may be
    /// gone.
    pub(crate) fn retire(&self) {
        if let PooledConnection::Http2(permit) = &self.connection {
            permit.retire_connection();
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("base", self.origin.base()).finish_non_exhaustive()
    }
}
