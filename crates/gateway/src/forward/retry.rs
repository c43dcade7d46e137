//! Which calls may be sent twice.

use hyper::body::Body as _;
use hyper::header::UPGRADE;
use hyper::{Method, Request};

use super::upload::Upload;

/// A copy of `request` to send when the connection to the backend, which stood idle before, ends
/// without an answer: the backend may have closed it at the same moment. `None` if the call must not
/// be repeated, or cannot be, for it has a body or wants to leave HTTP.
pub(super) fn copy(request: &Request<Upload>) -> Option<Request<Upload>> {
    let leaves_http = request.headers().contains_key(UPGRADE);
    if !request.body().is_end_stream() || !is_idempotent(request.method()) || leaves_http {
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
