//! Checks of every request, against pages of others in the same browser, and headers of every response.
//!
//! - The host must be an IP address, `localhost`, or configured. A name that an attacker lets resolve to
//!   this agent (DNS rebinding) is neither, so that its pages cannot read or send anything here.
//! - A request with an effect must come from a page of this host (`Origin`), and repeat the token of its
//!   cookie in its form, which a page of another host can neither read nor set.
//! - The responses allow nothing but this agent's own scripts and styles, in no frame.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Name of the cookie with the token, and of the form field that repeats it.
pub(crate) const TOKEN: &str = "meridian_token";

/// Headers of every response.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; \
         frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// Host names under which the page is served, besides IP addresses and `localhost`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hosts(pub(crate) Vec<String>);

impl Hosts {
    /// Returns true if the value of a `Host` header names this agent.
    fn allow(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let bracketed = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        let is_address = match bracketed {
            Some(name) => name.parse::<Ipv6Addr>().is_ok(),
            None => name.parse::<Ipv4Addr>().is_ok(),
        };
        is_address
            || name.eq_ignore_ascii_case("localhost")
            || self.0.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))
    }
}

/// Refuses requests of pages that are not this agent's, and adds the headers of responses.
pub(crate) async fn check(
    State(hosts): State<Arc<Hosts>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = match refusal(&hosts, &request) {
        Some(refusal) => refusal.into_response(),
        None => next.run(request).await,
    };
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

fn refusal(hosts: &Hosts, request: &Request<Body>) -> Option<(StatusCode, String)> {
    let Some(host) = text(request.headers(), &header::HOST) else {
        return Some((StatusCode::BAD_REQUEST, "the request names no host\n".to_owned()));
    };
    if !hosts.allow(host) {
        let message = format!(
            "this agent serves no page under the name {host:?}: open it by its IP address, or add the name \
             to http_hosts\n"
        );
        return Some((StatusCode::MISDIRECTED_REQUEST, message));
    }
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD);
    let origin = text(request.headers(), &header::ORIGIN);
    let is_own =
        origin.and_then(|origin| origin.split_once("://")).is_some_and(|(_, it)| it == host);
    (!is_safe && !is_own).then(|| {
        (StatusCode::FORBIDDEN, "the request does not come from a page of this agent\n".to_owned())
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Returns the value of a cookie.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let values =
        headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut cookies = values.flat_map(|value| value.split(';'));
    cookies
        .find_map(|cookie| cookie.trim().split_once('=').filter(|it| it.0 == name).map(|it| it.1))
}

/// Returns the token of the browser, and the cookie to set if it is a new one.
pub(crate) fn token(headers: &HeaderMap) -> (String, Option<HeaderValue>) {
    let is_token =
        |value: &&str| value.len() == 32 && value.bytes().all(|it| it.is_ascii_hexdigit());
    if let Some(token) = cookie(headers, TOKEN).filter(is_token) {
        return (token.to_owned(), None);
    }
    let token = format!("{:032x}", rand::random::<u128>());
    let cookie = format!("{TOKEN}={token}; Path=/; HttpOnly; SameSite=Strict");
    (token, HeaderValue::from_str(&cookie).ok())
}

/// Returns true if the token of a form is that of the cookie.
pub(crate) fn has_token(headers: &HeaderMap, given: &str) -> bool {
    cookie(headers, TOKEN).is_some_and(|token| !token.is_empty() && token == given)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_configured_names_are_hosts() {
        let hosts = Hosts(vec!["gateways.example.net".to_owned()]);
        for host in [
            "127.0.0.1:7480",
            "192.0.2.1",
            "[::1]:7480",
            "localhost",
            "LOCALHOST:7480",
            "gateways.example.net:443",
        ] {
            assert!(hosts.allow(host), "{host}");
        }
        for host in [
            "example.net",
            "127.0.0.1.example.net:7480",
            "",
            "localhost.example.net",
            "a:b",
            "[a]:80",
        ] {
            assert!(!hosts.allow(host), "{host}");
        }
    }

    #[test]
    fn a_token_is_that_of_the_cookie() {
        let (token, set) = token(&HeaderMap::new());
        let set = set.expect("is new");
        let pair = set.to_str().expect("is text").split(';').next().expect("has a pair").to_owned();
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, format!("a=b; {pair}").parse().expect("is a value"));
        assert!(
            has_token(&headers, &token)
                && !has_token(&headers, "")
                && !has_token(&HeaderMap::new(), "")
        );
        assert_eq!(super::token(&headers), (token, None));
    }
}
