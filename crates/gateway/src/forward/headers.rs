//! Rewriting of request and response headers: hop-by-hop headers are removed, and headers that
//! describe the client to the backend are added.

use bytes::{BufMut as _, BytesMut};
use hyper::Version;
use hyper::header::{
    CONNECTION, COOKIE, EXPECT, Entry, FORWARDED, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use hyper::http::request::Parts;

use super::route::Route;
use super::trace;
use crate::backends::ConvertOptions;
use crate::via_header::ViaHeader;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
/// Hop-by-hop headers. Connection is the first.
static HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    PROXY_AUTHORIZATION,
    // The unit itself sends 100 Continue, as soon as the backend reads the body.
    EXPECT,
];
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Rewrites the headers of a request for its backend, except those that depend on the protocol. The
/// target is not changed.
pub(super) fn prepare_request(parts: &mut Parts, route: &Route<'_>) -> ConvertOptions {
    let headers = &mut parts.headers;
    let options =
        ConvertOptions { accepts_trailers: headers.get_all(TE).iter().any(accepts_trailers) };
    strip(headers, &HOP_BY_HOP);
    if parts.version == Version::HTTP_2 {
        join_cookies(headers);
    }
    let forwarded = &route.client.forwarded_headers;
    append(headers, X_FORWARDED_FOR, forwarded.forwarded_for.clone());
    append(headers, FORWARDED, forwarded.forwarded_element(route.host.as_ref()));
    // It is unknown who set these headers, and backends trust them, so they are overwritten.
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    match &route.host {
        Some(host) => headers.insert(X_FORWARDED_HOST, host.clone()),
        None => headers.remove(X_FORWARDED_HOST),
    };
    append(headers, VIA, route.via.entry(parts.version));
    trace::ensure_traceparent(headers);
    options
}

/// Rewrites the headers of a response for the client.
pub(super) fn prepare_response(headers: &mut HeaderMap, version: Version, via: &ViaHeader) {
    strip(headers, &HOP_BY_HOP);
    append(headers, VIA, via.entry(version));
}

/// Returns true if a value of TE accepts trailers (RFC 9110, 10.1.4).
fn accepts_trailers(value: &HeaderValue) -> bool {
    let mut members = value.as_bytes().split(|byte| *byte == b',');
    members.any(|member| member.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// Removes the headers in `names` and those that Connection lists (RFC 9110, 7.6.1).
fn strip(headers: &mut HeaderMap, names: &[HeaderName]) {
    // Most are absent, and one pass over the headers is faster than one lookup per name.
    let mut found = 0_u32;
    for name in headers.keys() {
        if let Some(index) = names.iter().position(|known| known == name) {
            found |= 1 << index;
        }
    }
    if found & 1 != 0 {
        strip_listed(headers);
    }
    for (index, name) in names.iter().enumerate() {
        if found & 1 << index != 0 {
            headers.remove(name);
        }
    }
}

/// Removes the headers that Connection lists.
fn strip_listed(headers: &mut HeaderMap) {
    let values = headers.get_all(CONNECTION).iter().map(HeaderValue::as_bytes);
    let is_option = |value: &[u8]| {
        value.eq_ignore_ascii_case(b"keep-alive") || value.eq_ignore_ascii_case(b"close")
    };
    let listed: Vec<HeaderName> = values
        .filter(|value| !is_option(value))
        .flat_map(|value| value.split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    for name in listed {
        headers.remove(name);
    }
}

/// Joins the values of Cookie, which HTTP/2 clients may split (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_some() {
        let cookies: Vec<&[u8]> =
            headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
        if let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..])) {
            headers.insert(COOKIE, joined);
        }
    }
}

/// Appends `value` to the list in header `name`, as a single field.
fn append(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    match headers.entry(name) {
        Entry::Vacant(vacant) => {
            vacant.insert(value);
        }
        Entry::Occupied(mut occupied) => {
            let mut list = BytesMut::new();
            for existing in occupied.iter() {
                list.put_slice(existing.as_bytes());
                list.put_slice(b", ");
            }
            list.put_slice(value.as_bytes());
            let list = HeaderValue::from_maybe_shared(list.freeze());
            occupied.insert(list.expect("a list of header values is a header value"));
        }
    }
}
