//! Redirects of clients from a disabled gateway to the gateways of another region.
//!
//! A request is redirected once: two regions that are disabled, or that see different states, must not
//! send a client back and forth. A redirect can carry state only in the URL that the client follows, so
//! the mark is a query parameter. A disabled gateway refuses a marked request, and one that serves
//! removes the mark, so that no backend sees it.

use std::borrow::Cow;
use std::fmt::Write as _;

use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, HeaderValue, LOCATION};
use hyper::http::uri::Authority;
use hyper::{Method, Response, StatusCode, Uri};

/// Name of the query parameter of a request that was redirected. Reserved: backends never see a
/// parameter of this name.
const MARK: &str = "meridian-redirected";

/// Printable ASCII characters that are not allowed in a URL (RFC 3986). Clients disagree on them: to
/// some, a backslash is a slash.
const NOT_IN_URL: &[u8] = b"\"#<>\\^`{|}";

/// Gateways to which a disabled gateway redirects its clients.
#[derive(Debug, Clone)]
pub(crate) struct RedirectTarget {
    /// Start of the URL, such as `http://eastus.contoso.regional.gateways.example.net:8080`.
    origin: String,
}

impl RedirectTarget {
    /// Validates a target of the form `host:port`.
    pub(crate) fn check(text: &str) -> Option<Self> {
        let authority: Authority = text.parse().ok()?;
        let is_plain = !authority.as_str().contains('@') && !authority.host().is_empty();
        let has_port = authority.port_u16().is_some_and(|port| port > 0);
        (is_plain && has_port).then(|| Self { origin: format!("http://{authority}") })
    }

    /// Returns the response to a request, or `None` if it is refused instead: if its method may change
    /// something, because a client then decides itself whether to repeat the request, and if it was
    /// redirected before.
    pub(crate) fn response(&self, method: &Method, uri: &Uri) -> Option<Response<Bytes>> {
        let is_read = matches!(*method, Method::GET | Method::HEAD);
        // A target such as "*" would become a part of the host.
        if !is_read || is_marked(uri.query()) || !uri.path().starts_with('/') {
            return None;
        }
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
        let location = HeaderValue::try_from(self.location(uri)).ok()?;
        response.headers_mut().insert(LOCATION, location);
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Some(response)
    }

    /// Returns the marked URL. Only its path and its query come from the request.
    fn location(&self, uri: &Uri) -> String {
        let mut location = self.origin.clone();
        push_encoded(&mut location, uri.path());
        location.push('?');
        if let Some(query) = uri.query() {
            push_encoded(&mut location, query);
            location.push('&');
        }
        location.push_str(MARK);
        location.push_str("=1");
        location
    }
}

/// Appends a part of a URL, with percent-encoding of what is not allowed in it. Nothing is decoded.
fn push_encoded(location: &mut String, part: &str) {
    for byte in part.bytes() {
        if byte.is_ascii_graphic() && !NOT_IN_URL.contains(&byte) {
            location.push(byte.into());
        } else {
            write!(location, "%{byte:02X}").expect("a string can be written to");
        }
    }
}

/// Returns true if a request was redirected to this gateway.
pub(crate) fn is_marked(query: Option<&str>) -> bool {
    // Few queries contain the name at all, and one search is faster than a split.
    query.is_some_and(|query| query.contains(MARK) && query.split('&').any(is_mark))
}

/// Returns the query without marks; all else is as before, byte for byte.
pub(crate) fn without_mark(query: Option<&str>) -> Option<Cow<'_, str>> {
    let marked = query?;
    if !is_marked(query) {
        return Some(Cow::Borrowed(marked));
    }
    let parameters: Vec<&str> = marked.split('&').filter(|parameter| !is_mark(parameter)).collect();
    (!parameters.is_empty()).then(|| Cow::Owned(parameters.join("&")))
}

fn is_mark(parameter: &str) -> bool {
    let rest = parameter.strip_prefix(MARK);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;

    const TARGET: &str = "eastus.contoso.regional.gateways.example.net:8080";

    fn location(method: &Method, uri: &str) -> Option<String> {
        let target = RedirectTarget::check(TARGET).unwrap();
        let response = target.response(method, &uri.parse().unwrap())?;
        let location = response.headers().get(LOCATION).unwrap();
        let path = location.to_str().unwrap().strip_prefix(&format!("http://{TARGET}"));
        Some(path.unwrap().to_owned())
    }

    #[test]
    fn a_read_is_redirected_with_its_path_its_query_and_the_mark() {
        for (uri, expected) in [
            ("/", "/?meridian-redirected=1"),
            ("/orders/5", "/orders/5?meridian-redirected=1"),
            ("/a?", "/a?&meridian-redirected=1"),
            ("/a?b=%2F&c[]=d", "/a?b=%2F&c[]=d&meridian-redirected=1"),
            ("/a?not-meridian-redirected=1", "/a?not-meridian-redirected=1&meridian-redirected=1"),
        ] {
            assert_eq!(location(&Method::GET, uri).as_deref(), Some(expected));
            assert_eq!(location(&Method::HEAD, uri).as_deref(), Some(expected));
        }
    }

    #[test]
    fn the_host_of_a_redirect_never_comes_from_the_request() {
        for (uri, expected) in [
            ("http://evil.example/a?b", "/a?b&meridian-redirected=1"),
            ("http://evil.example", "/?meridian-redirected=1"),
            ("http://evil.example?b", "/?b&meridian-redirected=1"),
            ("//evil.example/a", "//evil.example/a?meridian-redirected=1"),
            ("/@evil.example", "/@evil.example?meridian-redirected=1"),
        ] {
            assert_eq!(location(&Method::GET, uri).as_deref(), Some(expected));
        }
        assert_eq!(location(&Method::GET, "*"), None);
        assert_eq!(location(&Method::GET, "evil.example:80"), None);
    }

    #[test]
    fn characters_that_are_not_allowed_in_a_url_are_encoded() {
        for (uri, expected) in [
            ("/\u{fc}?\u{fc}", "/%C3%BC?%C3%BC&meridian-redirected=1"),
            ("/{a}\"%0d%0A", "/%7Ba%7D%22%0d%0A?meridian-redirected=1"),
            ("/a?b=\\\\evil|^", "/a?b=%5C%5Cevil%7C%5E&meridian-redirected=1"),
        ] {
            assert_eq!(location(&Method::GET, uri).as_deref(), Some(expected));
        }
    }

    #[test]
    fn other_methods_and_marked_requests_are_not_redirected() {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
            assert_eq!(location(&method, "/a"), None, "{method}");
        }
        for uri in
            ["/a?meridian-redirected=1", "/a?b&meridian-redirected=1&c", "/a?meridian-redirected"]
        {
            assert_eq!(location(&Method::GET, uri), None, "{uri}");
        }
    }

    #[test]
    fn a_query_without_the_mark_is_the_query_before_the_redirect() {
        for query in [None, Some(""), Some("a=1"), Some("a&&b="), Some("not-meridian-redirected=1")]
        {
            let uri = query.map_or("/a".to_owned(), |query| format!("/a?{query}"));
            let marked = location(&Method::GET, &uri).unwrap();
            let (_, marked) = marked.split_once('?').unwrap();
            assert_eq!(without_mark(Some(marked)).as_deref(), query, "{marked}");
            assert_eq!(without_mark(query).as_deref(), query);
        }
        let everywhere = "meridian-redirected=1&a&meridian-redirected&b&meridian-redirected=";
        assert_eq!(without_mark(Some(everywhere)).as_deref(), Some("a&b"));
    }

    #[test]
    fn a_target_is_a_host_and_a_port() {
        for bad in ["", "host", "host:", ":8080", "host:0", "host:99999", "a@host:80", "host:80/x"]
        {
            assert!(RedirectTarget::check(bad).is_none(), "{bad}");
        }
    }
}
