//! The forms that a call has in the protocols of backends. Both can be made of each other, because a
//! call that could not be sent by one may go by the other.

use hyper::header::{CONTENT_LENGTH, HOST, HeaderValue, TE, TRANSFER_ENCODING};
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Uri, Version};

use super::origin::Origin;
use super::upload::Upload;

/// What of a call's form is not in its fields.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form {
    /// Whether the caller wants the fields behind a body.
    pub(crate) wants_trailers: bool,
}

/// The host in a field, a body of unknown length in chunks.
pub(crate) fn http1(request: &mut Request<Upload>, origin: &Origin, has_body: bool) {
    if request.version() == Version::HTTP_2 {
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = path.unwrap_or(PathAndQuery::from_static("/")).into();
        request.headers_mut().remove(TE);
    }
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    headers.insert(HOST, origin.host());
    if has_body && !headers.contains_key(CONTENT_LENGTH) {
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// Scheme and host in the target, no field about the connection (RFC 9113, 8.2.2 and 8.3.1).
pub(crate) fn http2(request: &mut Request<Upload>, origin: &Origin, form: Form) {
    let mut target = std::mem::take(request.uri_mut()).into_parts();
    target.scheme = Some(origin.scheme());
    target.authority = origin.base().authority().cloned();
    *request.uri_mut() = Uri::from_parts(target).expect("a path can follow any host");
    *request.version_mut() = Version::HTTP_2;
    let headers = request.headers_mut();
    headers.remove(HOST);
    headers.remove(TRANSFER_ENCODING);
    if form.wants_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}
