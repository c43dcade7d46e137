//! Which calls may be sent twice.

use hyper::body::Body as _;
use hyper::{Method, Request};

use super::upload::Upload;

/// A copy of `request` to send when the connection to the backend, which stood idle before, ends
/// without an answer: the backend may have closed it at the same moment. `None` if the call must
/// not be repeated, or cannot be, for it has a body.
pub(super) fn copy(request: &Request<Upload>) -> Option<Request<Upload>> {
    if !request.body().is_end_stream() || !is_idempotent(request.method()) {
        return None;
    }
    let mut copy = Request::new(Upload::default());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

/// RFC 9110, 9.2.2.
fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS, Method::TRACE]
        .contains(method)
}
