//! The fields of calls and answers: those that concern one connection go, those that tell the
//! backend who called come.

use bytes::{BufMut as _, BytesMut};
use hyper::Version;
use hyper::header::{
    CONNECTION, COOKIE, EXPECT, Entry, FORWARDED, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use hyper::http::request::Parts;

use super::route::Route;
use super::trace;
use crate::backends::Form;
use crate::via::Via;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
/// What concerns one connection alone. Connection is the first.
static OF_ONE_CONNECTION: [HeaderName; 8] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    PROXY_AUTHORIZATION,
    // The unit itself tells the caller to go on, as soon as the backend takes the body.
    EXPECT,
];
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Makes the fields of a call those that its backend is to get, but for what depends on the protocol.
/// The target is not changed.
pub(super) fn prepare(parts: &mut Parts, route: &Route<'_>) -> Form {
    let headers = &mut parts.headers;
    let form = Form { wants_trailers: headers.get_all(TE).iter().any(names_trailers) };
    strip(headers, &OF_ONE_CONNECTION);
    if parts.version == Version::HTTP_2 {
        join_cookies(headers);
    }
    let told = &route.caller.told;
    append(headers, X_FORWARDED_FOR, told.peer.clone());
    append(headers, FORWARDED, told.forwarded(route.host.as_ref()));
    // Whom these fields come from cannot be told, and backends trust them.
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    match &route.host {
        Some(host) => headers.insert(X_FORWARDED_HOST, host.clone()),
        None => headers.remove(X_FORWARDED_HOST),
    };
    append(headers, VIA, route.via.element(parts.version));
    trace::join(headers);
    form
}

/// Makes the fields of an answer those that the caller is to get.
pub(super) fn prepare_answer(headers: &mut HeaderMap, version: Version, via: &Via) {
    strip(headers, &OF_ONE_CONNECTION);
    append(headers, VIA, via.element(version));
}

/// Whether a value of TE has the caller take the fields behind a body (RFC 9110, 10.1.4).
fn names_trailers(value: &HeaderValue) -> bool {
    let mut members = value.as_bytes().split(|byte| *byte == b',');
    members.any(|member| member.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// Removes those of `names` that are there, and what Connection names (RFC 9110, 7.6.1).
fn strip(headers: &mut HeaderMap, names: &[HeaderName]) {
    // Most are not there, and to look once at what is there takes less time than to look for each.
    let mut found = 0_u32;
    for name in headers.keys() {
        if let Some(index) = names.iter().position(|known| known == name) {
            found |= 1 << index;
        }
    }
    if found & 1 != 0 {
        strip_named(headers);
    }
    for (index, name) in names.iter().enumerate() {
        if found & 1 << index != 0 {
            headers.remove(name);
        }
    }
}

/// Removes what Connection names.
fn strip_named(headers: &mut HeaderMap) {
    let values = headers.get_all(CONNECTION).iter().map(HeaderValue::as_bytes);
    let is_option = |value: &[u8]| {
        value.eq_ignore_ascii_case(b"keep-alive") || value.eq_ignore_ascii_case(b"close")
    };
    let named: Vec<HeaderName> = values
        .filter(|value| !is_option(value))
        .flat_map(|value| value.split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
}

/// HTTP/2 callers may send a cookie field in parts (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_some() {
        let cookies: Vec<&[u8]> =
            headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
        if let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..])) {
            headers.insert(COOKIE, joined);
        }
    }
}

/// Adds `value` to the list that `name` has, as its one field.
fn append(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    match headers.entry(name) {
        Entry::Vacant(vacant) => {
            vacant.insert(value);
        }
        Entry::Occupied(mut occupied) => {
            let mut list = BytesMut::new();
            for given in occupied.iter() {
                list.put_slice(given.as_bytes());
                list.put_slice(b", ");
            }
            list.put_slice(value.as_bytes());
            let list = HeaderValue::from_maybe_shared(list.freeze());
            occupied.insert(list.expect("is made of values of fields"));
        }
    }
}
