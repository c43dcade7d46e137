#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::*;

fn api(name: &str, path: &str, backend: &str) -> GatewayApi {
    GatewayApi {
        name: name.to_owned(),
        path: path.to_owned(),
        backend: backend.to_owned(),
        connect_timeout_ms: 1,
        response_timeout_ms: 600_000,
        idle_timeout_ms: 1000,
    }
}

fn check(apis: Vec<GatewayApi>) -> Result<Configuration, ConfigurationError> {
    let given = GatewayConfiguration { revision: 1, enabled: true, apis, ..Default::default() };
    Configuration::check(given, None, &Metrics::new(1))
}

#[test]
fn the_longest_path_wins_by_whole_segments() {
    let apis = ["/", "/orders", "/orders/eu"].map(|path| api(path, path, "http://b"));
    let configuration = check(apis.to_vec()).unwrap();
    let route = |path: &'static str| {
        configuration.route(path).map(|api| (api.name.clone(), api.rest(path)))
    };
    for (path, api, rest) in [
        ("/", "/", "/"),
        ("/ordersx", "/", "/ordersx"),
        ("/orders", "/orders", ""),
        ("/orders/", "/orders", "/"),
        ("/orders/5", "/orders", "/5"),
        ("/orders/eu/5", "/orders/eu", "/5"),
        ("/orders/eux", "/orders", "/eux"),
        ("//orders", "/", "//orders"),
    ] {
        assert_eq!(route(path), Some((api.to_owned(), rest)), "{path}");
    }
    assert_eq!(route("*"), None);
    assert!(check(vec![]).unwrap().route("/").is_none());
}

#[test]
fn a_broken_rule_is_named() {
    let long = GatewayApi { idle_timeout_ms: 600_001, ..api("a", "/a", "http://b") };
    let cases = [
        (api("", "/a", "http://b"), "an API needs a name"),
        (api("a", "a", "http://b"), "must start with \"/\""),
        (api("a", "", "http://b"), "must start with \"/\""),
        (api("a", "/a//b", "http://b"), "empty, \".\" or \"..\" segments"),
        (api("a", "/a/", "http://b"), "nor end with \"/\""),
        (api("a", "/a/..", "http://b"), "\"..\" segments"),
        (api("a", "/a?b", "http://b"), "the characters of a URL's path"),
        (api("a", "/a", "ftp://b"), "must begin with http://, https:// or h2c://"),
        (api("a", "/a", "b:80"), "http://"),
        (api("a", "/a", "http://"), "must be a URL"),
        (api("a", "/a", "http://u:p@b"), "must not hold credentials"),
        (api("a", "/a", "http://b?c"), "a query or a fragment"),
        (api("a", "/a", "http://b#c"), "a query or a fragment"),
        (api("a", "/a", "http://b:0"), "a port from 1 to 65535"),
        (api("a", "/a", "http://b:65536"), "a port from 1 to 65535"),
        (api("a", "/a", "http://b/../c"), "in its path"),
        (long, "idle_timeout_ms is 600001 ms"),
    ];
    for (api, expected) in cases {
        let said = check(vec![api]).unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
    }
    let twice = vec![api("a", "/a", "http://b"), api("b", "/a", "http://c")];
    let said = check(twice).unwrap_err().to_string();
    assert_eq!(said, "API \"b\": another API has the path \"/a\"");
    let many = (0..257).map(|n| api(&n.to_string(), &format!("/{n}"), "http://b")).collect();
    let said = check(many).unwrap_err().to_string();
    assert_eq!(said, "there are 257 APIs: at most 256 are allowed");
}

#[test]
fn a_backend_keeps_its_connections_over_a_change() {
    let apis = vec![api("a", "/a", "http://b:80/x/"), api("b", "/b", "http://b:80/y")];
    let old = check(apis.clone()).unwrap();
    assert!(Arc::ptr_eq(&old.apis[0].origin, &old.apis[1].origin));
    assert_eq!(old.route("/a").unwrap().base_path, "/x");
    let given = GatewayConfiguration { revision: 2, apis, ..Default::default() };
    let new = Configuration::check(given, Some(&old), &Metrics::new(1)).unwrap();
    assert!(Arc::ptr_eq(&old.apis[0].origin, &new.apis[0].origin));
    let other = old.for_another_worker(None);
    assert!(!Arc::ptr_eq(&old.apis[0].origin, &other.apis[0].origin), "each has its own");
    assert!(Arc::ptr_eq(&other.apis[0].origin, &other.apis[1].origin));
    let new = new.for_another_worker(Some(&other));
    assert!(Arc::ptr_eq(&other.apis[0].origin, &new.apis[0].origin));
    assert_eq!((new.revision, new.route("/b").unwrap().base_path.as_str()), (2, "/y"));
}
