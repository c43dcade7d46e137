//! Where a call is meant to go, and what of that the backend is told.

use bytes::{BufMut as _, Bytes, BytesMut};
use hyper::header::{HOST, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::{Method, Uri, Version};

use crate::caller::Told;
use crate::configuration::Api;
use crate::problem::Problem;

/// The host that a call is for; `None` where HTTP/1.0 allows that. A call that names two is refused:
/// its backend might see another host than an intermediary before it did.
pub(crate) fn authority(parts: &Parts, told: &Told) -> Result<Option<HeaderValue>, Problem> {
    if parts.method == Method::CONNECT {
        return Err(Problem::BadRequest("this gateway makes no tunnels"));
    }
    let mut fields = parts.headers.get_all(HOST).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return Err(Problem::BadRequest("there is more than one Host field"));
    }
    if let Some(field) = field
        && !told.knows(field)
        && !Authority::try_from(field.as_bytes()).is_ok_and(|host| is_host(&host))
    {
        return Err(Problem::BadRequest("the Host field is no host"));
    }
    let Some(target) = parts.uri.authority() else {
        if field.is_none() && parts.version >= Version::HTTP_11 {
            return Err(Problem::BadRequest("the Host field is missing"));
        }
        return Ok(field.cloned());
    };
    let known = [&Scheme::HTTP, &Scheme::HTTPS];
    if !is_host(target) || parts.uri.scheme().is_none_or(|scheme| !known.contains(&scheme)) {
        return Err(Problem::BadRequest("the target is no http or https URL"));
    }
    match field {
        Some(field) if !field.as_bytes().eq_ignore_ascii_case(target.as_str().as_bytes()) => {
            Err(Problem::BadRequest("the Host field contradicts the target"))
        }
        Some(field) => Ok(Some(field.clone())),
        None if parts.version < Version::HTTP_2 => {
            Err(Problem::BadRequest("the Host field is missing"))
        }
        None => Ok(HeaderValue::from_str(target.as_str()).ok()),
    }
}

fn is_host(authority: &Authority) -> bool {
    let port = authority.as_str().strip_prefix(authority.host());
    !authority.host().is_empty()
        && port.is_some_and(|port| matches!(port, "" | ":") || authority.port_u16().is_some())
}

/// Refuses a path that a backend may take for another one than the API's prefix was compared with.
pub(crate) fn check_path(path: &str) -> Result<(), Problem> {
    if path.bytes().any(|byte| matches!(byte, b'.' | b'%' | b'\\')) && leads_elsewhere(path) {
        return Err(Problem::BadRequest("the path has \".\" or \"..\" segments"));
    }
    Ok(())
}

/// Whether `path` has dot segments for some decoder: written out or percent-encoded, between
/// slashes or backslashes, these too.
fn leads_elsewhere(path: &str) -> bool {
    let bytes = path.as_bytes();
    let (mut dots, mut others, mut at) = (0, false, 0);
    while at < bytes.len() {
        let (byte, length) = match bytes[at..] {
            [b'%', b'2', b'e' | b'E', ..] => (b'.', 3),
            [b'%', b'2', b'f' | b'F', ..] => (b'/', 3),
            [b'%', b'5', b'c' | b'C', ..] => (b'\\', 3),
            [byte, ..] => (byte, 1),
            [] => break,
        };
        match byte {
            b'.' => dots += 1,
            b'/' | b'\\' if !others && (1..=2).contains(&dots) => return true,
            b'/' | b'\\' => (dots, others) = (0, false),
            _ => others = true,
        }
        at += length;
    }
    !others && (1..=2).contains(&dots)
}

/// What a call asks its backend for: the API's base path, what followed its prefix, the query.
pub(super) fn target(api: &Api, uri: &Uri) -> Result<Uri, Problem> {
    let (rest, query) = (api.rest(uri.path()), uri.query());
    if api.base_path.is_empty() && rest.len() == uri.path().len() && uri.authority().is_none() {
        return Ok(uri.clone());
    }
    let length = api.base_path.len() + rest.len() + query.map_or(0, |query| query.len() + 1);
    let mut target = BytesMut::with_capacity(length + 1);
    target.put_slice(api.base_path.as_bytes());
    target.put_slice(rest.as_bytes());
    if target.is_empty() {
        target.put_u8(b'/');
    }
    if let Some(query) = query {
        target.put_u8(b'?');
        target.put_slice(query.as_bytes());
    }
    let target: Bytes = target.freeze();
    PathAndQuery::from_maybe_shared(target)
        .map(Uri::from)
        .map_err(|_| Problem::BadRequest("the target is too long"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_segments_are_found_however_they_are_written() {
        for path in ["/.", "/..", "/a/../b", "/a/%2e%2E/b", "/a/..%2fb", "/a/..%5Cb", "/a\\..\\b"] {
            assert!(check_path(path).is_err(), "{path}");
        }
        for path in ["/", "/a", "/a.b", "/...", "/.well-known/x", "/a/..b", "/%2e.%2e", "/a%2Fb"] {
            assert!(check_path(path).is_ok(), "{path}");
        }
    }
}
