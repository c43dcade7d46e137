//! Paths and backend URLs of APIs as text.

use meridian_domain::api::{BackendError, PathError, STATUS_PATH};
use meridian_domain::{ApiPath, BackendUrl};

#[test]
fn a_path_is_normalized() {
    for (text, normal) in
        [("/", "/"), ("//", "/"), ("/orders/", "/orders"), ("//a///b", "/a/b"), ("/a.b", "/a.b")]
    {
        assert_eq!(ApiPath::new(text).expect("valid path").as_str(), normal);
    }
}

#[test]
fn an_ambiguous_or_reserved_path_is_rejected() {
    for bad in ["", "orders", "/a/../b", "/./a", "/%61", "/a?b", "/a#b", "/a b", "/a\\b", "/ä"] {
        assert!(ApiPath::new(bad).is_err(), "{bad:?} was accepted");
    }
    assert_eq!(ApiPath::new(STATUS_PATH), Err(PathError::Reserved));
}

#[test]
fn a_backend_url_is_normalized() {
    for (text, normal, host, port) in [
        ("HTTP://Orders.Internal/", "http://orders.internal", "orders.internal", 80),
        ("https://a:8443/v2//x/", "https://a:8443/v2/x", "a", 8443),
        ("https://[2001:DB8::1]", "https://[2001:db8::1]", "[2001:db8::1]", 443),
        ("http://[::1]:99", "http://[::1]:99", "[::1]", 99),
        ("H2C://Orders/v2", "h2c://orders/v2", "orders", 80),
    ] {
        let url = BackendUrl::new(text).expect("valid backend");
        assert_eq!((url.as_str(), url.host(), url.port()), (normal, host, port));
        assert_eq!(BackendUrl::new(url.as_str()).as_ref(), Ok(&url), "the normal form is stable");
    }
}

#[test]
fn an_invalid_backend_url_is_rejected_with_the_rule_that_it_violates() {
    let rejected = |text| BackendUrl::new(text).expect_err(text);
    assert_eq!(rejected("orders:80"), BackendError::Scheme);
    assert_eq!(rejected("ftp://a"), BackendError::Scheme);
    assert_eq!(rejected("h2://a"), BackendError::Scheme);
    assert_eq!(rejected("http://user:secret@a"), BackendError::Credentials);
    assert_eq!(rejected("http://a?b"), BackendError::QueryOrFragment);
    assert!(matches!(rejected("http://"), BackendError::Host { .. }));
    assert!(matches!(rejected("http://a b"), BackendError::Host { .. }));
    for port in ["http://a:0", "http://a:65536", "http://a:+80", "http://a:"] {
        assert!(matches!(rejected(port), BackendError::Port { .. }), "{port}");
    }
    assert!(matches!(rejected("http://a/../b"), BackendError::Path(_)));
}
