//! The fields of calls and answers: those that concern one connection go, those that tell the
//! backend who called come.

use std::fmt::Write as _;
use std::net::IpAddr;

use bytes::{BufMut as _, BytesMut};
use hyper::Version;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, Entry, FORWARDED, HOST, HeaderMap, HeaderName,
    HeaderValue, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use hyper::http::request::Parts;

use super::Route;
use super::via::Via;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Makes the fields of a call those that its backend is to get. The target is not changed.
pub(super) fn prepare(parts: &mut Parts, route: &Route<'_>, has_body: bool) {
    let headers = &mut parts.headers;
    strip_hop_by_hop(headers);
    // The unit itself tells the caller to go on, as soon as the backend takes the body.
    headers.remove(EXPECT);
    headers.remove(PROXY_AUTHORIZATION);
    if has_body && !headers.contains_key(CONTENT_LENGTH) {
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    if parts.version == Version::HTTP_2 {
        join_cookies(headers);
    }
    headers.insert(HOST, route.api.origin.host());
    let peer = route.caller.peer;
    append(headers, X_FORWARDED_FOR, text(&peer.to_string()), ", ");
    append(headers, FORWARDED, forwarded(peer, route.host.as_ref()), ", ");
    // Whom these fields come from cannot be told, and backends trust them.
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    match &route.host {
        Some(host) => headers.insert(X_FORWARDED_HOST, host.clone()),
        None => headers.remove(X_FORWARDED_HOST),
    };
    append(headers, VIA, route.via.element(parts.version), ", ");
    trace(headers);
}

/// Makes the fields of an answer those that the caller is to get.
pub(super) fn prepare_answer(headers: &mut HeaderMap, via: &Via) {
    strip_hop_by_hop(headers);
    append(headers, VIA, via.element(Version::HTTP_11), ", ");
}

/// Removes what concerns one connection alone (RFC 9110, 7.6.1), also what Connection names.
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
            .collect();
        for name in named {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    for name in [KEEP_ALIVE, PROXY_CONNECTION, TE, TRANSFER_ENCODING, UPGRADE] {
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
fn append(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue, separator: &str) {
    match headers.entry(name) {
        Entry::Vacant(vacant) => {
            vacant.insert(value);
        }
        Entry::Occupied(mut occupied) => {
            let mut list = BytesMut::new();
            for given in occupied.iter() {
                list.put_slice(given.as_bytes());
                list.put_slice(separator.as_bytes());
            }
            list.put_slice(value.as_bytes());
            let list = HeaderValue::from_maybe_shared(list.freeze());
            occupied.insert(list.expect("is made of values of fields"));
        }
    }
}

fn text(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).expect("is made of visible characters")
}

/// An element of Forwarded (RFC 7239).
fn forwarded(peer: IpAddr, host: Option<&HeaderValue>) -> HeaderValue {
    let mut element = match peer {
        IpAddr::V4(peer) => format!("for={peer};proto=http"),
        IpAddr::V6(peer) => format!("for=\"[{peer}]\";proto=http"),
    };
    if let Some(host) = host.and_then(|host| host.to_str().ok()) {
        // A host has no quotes: it was checked.
        write!(element, ";host=\"{host}\"").expect("a string takes all");
    }
    text(&element)
}

/// Has the call be part of a trace (W3C Trace Context): the caller's, or a new one.
fn trace(headers: &mut HeaderMap) {
    let mut given = headers.get_all(&TRACEPARENT).iter();
    if given.next().is_some_and(|first| is_traceparent(first.as_bytes())) && given.next().is_none()
    {
        return;
    }
    let (trace, span) = (rand::random::<u128>().max(1), rand::random::<u64>().max(1));
    headers.insert(TRACEPARENT, text(&format!("00-{trace:032x}-{span:016x}-00")));
    headers.remove(TRACESTATE);
}

fn is_traceparent(value: &[u8]) -> bool {
    let hex = |part: &[u8]| part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let zero = |part: &[u8]| part.iter().all(|byte| *byte == b'0');
    let later = value.len() > 55 && value[55] == b'-' && !value.starts_with(b"00");
    (value.len() == 55 || later)
        && [value[2], value[35], value[52]].iter().all(|byte| *byte == b'-')
        && [&value[..2], &value[3..35], &value[36..52], &value[53..55]].into_iter().all(hex)
        && !value.starts_with(b"ff")
        && !zero(&value[3..35])
        && !zero(&value[36..52])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_a_traceparent_is_passed_on() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(is_traceparent(good.as_bytes()));
        assert!(is_traceparent(format!("01{}-x", &good[2..]).as_bytes()));
        for bad in [
            String::new(),
            good.to_uppercase(),
            format!("ff{}", &good[2..]),
            format!("{good}-x"),
            good.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            good.replace("b7ad6b7169203331", &"0".repeat(16)),
        ] {
            assert!(!is_traceparent(bad.as_bytes()), "{bad}");
        }
    }
}
