//! Conversion of requests between HTTP/1.1 and HTTP/2. Both directions are possible, because a
//! request that could not be sent over one protocol may be retried over the other.

use hyper::header::{CONTENT_LENGTH, HOST, HeaderValue, TE, TRANSFER_ENCODING};
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Uri, Version};

use super::origin::Origin;
use super::upload::Upload;

/// Properties of a request that are not in its headers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConvertOptions {
    /// True if the client accepts trailers.
    pub(crate) accepts_trailers: bool,
}

/// Converts a request to HTTP/1.1: the host in a header, a body of unknown length in chunks.
pub(crate) fn to_http1(request: &mut Request<Upload>, origin: &Origin, has_body: bool) {
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

/// Converts a request to HTTP/2: scheme and host in the target, no connection headers (RFC 9113,
/// 8.2.2 and 8.3.1).
pub(crate) fn to_http2(request: &mut Request<Upload>, origin: &Origin, options: ConvertOptions) {
    let mut target = std::mem::take(request.uri_mut()).into_parts();
    target.scheme = Some(origin.scheme());
    target.authority = origin.base().authority().cloned();
    *request.uri_mut() = Uri::from_parts(target).expect("a path can follow any authority");
    *request.version_mut() = Version::HTTP_2;
    let headers = request.headers_mut();
    headers.remove(HOST);
    headers.remove(TRANSFER_ENCODING);
    if options.accepts_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}
