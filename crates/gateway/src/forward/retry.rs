//! Conditions under which a request is sent a second time.
//!
//! A backend may close an idle connection while a request is in transit, and the client could not
//! distinguish that from a failed request. A request is therefore sent again if all of these
//! conditions hold:
//!
//! - It has not been retried yet, and the retry uses a new connection: a request that makes its
//!   backend close the connection must not end all connections in the pool.
//! - The first attempt used a pooled connection: no backend closes a new connection for being idle.
//! - No byte of a response arrived: with one, the backend had started to process the request.
//! - No part of a body was sent, because bodies are streamed and not buffered.
//! - The method is idempotent (RFC 9110, 9.2.2): a backend that closes the connection without a
//!   response may have processed the request, and section 9.2.2 lets an intermediary repeat only
//!   requests that are safe to repeat. Unknown methods are not idempotent. nginx draws the same
//!   line (`proxy_next_upstream` without `non_idempotent`).
//!
//! Over HTTP/2, a backend can report that it did not process a request (RFC 9113, 8.7); then the
//! method does not matter. An attempt of which nothing left the unit does not count.

use std::error::Error as _;

use hyper::body::Body as _;
use hyper::header::UPGRADE;
use hyper::{Method, Request};

use crate::backends::{Lease, Upload};

/// A request to send again.
pub(super) struct Copy {
    pub(super) request: Request<Upload>,
    /// True if the request may be sent again although the backend may have processed it.
    pub(super) is_idempotent: bool,
}

/// Copies `request` to send it again if the pooled connection of `lease` ends without a response
/// because the backend closed it at the same moment. Returns `None` if the request must not or
/// cannot be repeated, because of its method, its body or an upgrade.
pub(super) fn copy(request: &Request<Upload>, lease: &Lease) -> Option<Copy> {
    let is_idempotent = is_idempotent(request.method());
    let may_repeat = is_idempotent || lease.can_refuse();
    let is_upgrade = request.headers().contains_key(UPGRADE);
    if !request.body().is_end_stream() || !may_repeat || is_upgrade {
        return None;
    }
    let mut copy = Request::new(Upload::default());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    Some(Copy { request: copy, is_idempotent })
}

/// Returns true if `method` is idempotent (RFC 9110, 9.2.2).
fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS, Method::TRACE]
        .contains(method)
}

/// Returns true if `error` means that the backend did not process the request and will not, so that
/// any request may be sent again (RFC 9113, 8.7): the backend reset the stream with REFUSED_STREAM,
/// or its GOAWAY excluded the stream.
pub(super) fn is_refused(error: &hyper::Error) -> bool {
    let Some(error) = error.source().and_then(|source| source.downcast_ref::<h2::Error>()) else {
        return false;
    };
    // Of the requests on a connection that receives GOAWAY, only the unprocessed ones fail with
    // this error. That relies on the single thread of a worker: hyper queues a request and then
    // checks the state of the connection again, and on two threads the request could be sent and
    // the connection closed in between.
    let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    error.is_remote() && (refused || error.is_go_away())
}
