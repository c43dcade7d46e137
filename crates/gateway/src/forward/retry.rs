//! Which calls may be sent twice.
//!
//! A backend may close a connection that stood open while a call is on its way there, and its caller
//! could not tell that from a failure of the call. So a call is sent again, under all of these
//! conditions:
//!
//! - once at most, and on a new connection: a call that makes its backend close must not end all
//!   connections that are kept;
//! - not where the first was on a new connection: no backend closes one for having been idle;
//! - no byte of an answer came: with one, the backend had begun to act;
//! - nothing of a body was sent, as it flows and is not kept;
//! - the method is idempotent (RFC 9110, 9.2.2): a backend that closes without a word may have acted on
//!   the call, and 9.2.2 lets an intermediary repeat only what does no harm twice. A method that it does
//!   not know is not. nginx draws this line too (`proxy_next_upstream` without `non_idempotent`).
//!
//! By HTTP/2, a backend can say that it has not looked at a call (RFC 9113, 8.7): then the method does
//! not matter. A call of which nothing left the unit has not been sent once, and is not counted.

use std::error::Error as _;

use hyper::body::Body as _;
use hyper::header::UPGRADE;
use hyper::{Method, Request};

use crate::backends::{Lease, Upload};

/// A call to send again.
pub(super) struct Copy {
    pub(super) request: Request<Upload>,
    /// Whether it may be sent again although the backend may have acted on it.
    pub(super) is_idempotent: bool,
}

/// A copy of `request` to send when the connection of `lease`, which stood open before, ends without
/// an answer: the backend may have closed it at the same moment. `None` if the call must not be
/// repeated, or cannot be, for it has a body or wants to leave HTTP.
pub(super) fn copy(request: &Request<Upload>, lease: &Lease) -> Option<Copy> {
    let is_idempotent = is_idempotent(request.method());
    let may_repeat = is_idempotent || lease.can_refuse();
    let leaves_http = request.headers().contains_key(UPGRADE);
    if !request.body().is_end_stream() || !may_repeat || leaves_http {
        return None;
    }
    let mut copy = Request::new(Upload::default());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    Some(Copy { request: copy, is_idempotent })
}

/// RFC 9110, 9.2.2.
fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS, Method::TRACE]
        .contains(method)
}

/// Whether `error` says that the backend has not looked at the call and will not, so that any call
/// may be sent again (RFC 9113, 8.7): it refused the stream, or ended the connection before it.
pub(super) fn is_refused(error: &hyper::Error) -> bool {
    let Some(error) = error.source().and_then(|source| source.downcast_ref::<h2::Error>()) else {
        return false;
    };
    // Of the calls on a connection that it ends, only those that it has not looked at fail so. That
    // rests on a worker's one thread: hyper queues a call and then looks once more at how the
    // connection is, and on two threads the call could be sent, and the connection ended, in between.
    let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    error.is_remote() && (refused || error.is_go_away())
}
