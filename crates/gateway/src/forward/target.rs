//! The target of a request: validation, and rewriting for the backend.

use bytes::{BufMut as _, Bytes, BytesMut};
use hyper::header::{HOST, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::{Method, Uri, Version};

use crate::client_connection::ForwardedHeaders;
use crate::configuration::Api;
use crate::problem::Problem;
use crate::redirect;

/// Returns the host that a request is for, or `None` if an HTTP/1.0 request has none. Rejects a
/// request with two hosts: its backend might use another one than an intermediary before it did.
pub(crate) fn requested_host(
    parts: &Parts,
    forwarded: &ForwardedHeaders,
) -> Result<Option<HeaderValue>, Problem> {
    if parts.method == Method::CONNECT {
        return Err(Problem::BadRequest("CONNECT is not supported"));
    }
    let mut fields = parts.headers.get_all(HOST).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return Err(Problem::BadRequest("more than one Host header"));
    }
    if let Some(field) = field
        && !forwarded.is_last_host(field)
        && !Authority::try_from(field.as_bytes()).is_ok_and(|host| is_host(&host))
    {
        return Err(Problem::BadRequest("invalid Host header"));
    }
    let Some(target) = parts.uri.authority() else {
        if field.is_none() && parts.version >= Version::HTTP_11 {
            return Err(Problem::BadRequest("missing Host header"));
        }
        return Ok(field.cloned());
    };
    let schemes = [&Scheme::HTTP, &Scheme::HTTPS];
    if !is_host(target) || parts.uri.scheme().is_none_or(|scheme| !schemes.contains(&scheme)) {
        return Err(Problem::BadRequest("the request target is not an http or https URL"));
    }
    match field {
        Some(field) if !field.as_bytes().eq_ignore_ascii_case(target.as_str().as_bytes()) => {
            Err(Problem::BadRequest("the Host header does not match the request target"))
        }
        Some(field) => Ok(Some(field.clone())),
        None if parts.version < Version::HTTP_2 => Err(Problem::BadRequest("missing Host header")),
        None => Ok(HeaderValue::from_str(target.as_str()).ok()),
    }
}

fn is_host(authority: &Authority) -> bool {
    let port = authority.as_str().strip_prefix(authority.host());
    !authority.host().is_empty()
        && port.is_some_and(|port| matches!(port, "" | ":") || authority.port_u16().is_some())
}

/// Rejects a path that a backend may normalize to another one than the API's prefix was compared
/// with.
pub(crate) fn check_path(path: &str) -> Result<(), Problem> {
    if path.bytes().any(|byte| matches!(byte, b'.' | b'%' | b'\\')) && has_dot_segments(path) {
        return Err(Problem::BadRequest("the path contains \".\" or \"..\" segments"));
    }
    Ok(())
}

/// Returns true if any decoder may see dot segments in `path`: literal or percent-encoded dots
/// between literal or percent-encoded slashes or backslashes.
fn has_dot_segments(path: &str) -> bool {
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

/// Returns the target for the backend: the API's base path, the part of the path after the API's
/// prefix, and the query without the mark of a redirect.
pub(super) fn backend_target(api: &Api, uri: &Uri) -> Result<Uri, Problem> {
    let (suffix, is_marked) = (api.suffix(uri.path()), redirect::is_marked(uri.query()));
    let is_same = api.base_path.is_empty() && suffix.len() == uri.path().len() && !is_marked;
    if is_same && uri.authority().is_none() {
        return Ok(uri.clone());
    }
    let query = redirect::without_mark(uri.query());
    let query_length = query.as_ref().map_or(0, |query| query.len() + 1);
    let length = api.base_path.len() + suffix.len() + query_length;
    let mut target = BytesMut::with_capacity(length + 1);
    target.put_slice(api.base_path.as_bytes());
    target.put_slice(suffix.as_bytes());
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
        .map_err(|_| Problem::BadRequest("the request target is too long"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_segments_are_found_in_every_encoding() {
        for path in ["/.", "/..", "/a/../b", "/a/%2e%2E/b", "/a/..%2fb", "/a/..%5Cb", "/a\\..\\b"] {
            assert!(check_path(path).is_err(), "{path}");
        }
        for path in ["/", "/a", "/a.b", "/...", "/.well-known/x", "/a/..b", "/%2e.%2e", "/a%2Fb"] {
            assert!(check_path(path).is_ok(), "{path}");
        }
    }
}
