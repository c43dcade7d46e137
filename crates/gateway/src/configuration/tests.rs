#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

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
    let message = GatewayConfiguration { revision: 1, enabled: true, apis, ..Default::default() };
    Configuration::check(message, None, &Metrics::new(1))
}

#[test]
fn the_longest_path_wins_by_whole_segments() {
    let apis = ["/", "/orders", "/orders/eu"].map(|path| api(path, path, "http://b"));
    let configuration = check(apis.to_vec()).unwrap();
    let route = |path: &'static str| {
        configuration.route(path).map(|api| (api.name.clone(), api.suffix(path)))
    };
    for (path, api, suffix) in [
        ("/", "/", "/"),
        ("/ordersx", "/", "/ordersx"),
        ("/orders", "/orders", ""),
        ("/orders/", "/orders", "/"),
        ("/orders/5", "/orders", "/5"),
        ("/orders/eu/5", "/orders/eu", "/5"),
        ("/orders/eux", "/orders", "/eux"),
        ("//orders", "/", "//orders"),
    ] {
        assert_eq!(route(path), Some((api.to_owned(), suffix)), "{path}");
    }
    assert_eq!(route("*"), None);
    assert!(check(vec![]).unwrap().route("/").is_none());
}

#[test]
fn errors_name_the_broken_rule() {
    let long = GatewayApi { idle_timeout_ms: 600_001, ..api("a", "/a", "http://b") };
    let cases = [
        (api("", "/a", "http://b"), "the name must not be empty"),
        (api("a", "a", "http://b"), "must start with \"/\""),
        (api("a", "", "http://b"), "must start with \"/\""),
        (api("a", "/a//b", "http://b"), "empty, \".\" or \"..\" segments"),
        (api("a", "/a/", "http://b"), "or end with \"/\""),
        (api("a", "/a/..", "http://b"), "\"..\" segments"),
        (api("a", "/a?b", "http://b"), "not allowed in a URL path"),
        (api("a", "/a", "ftp://b"), "must begin with http://, https:// or h2c://"),
        (api("a", "/a", "b:80"), "http://"),
        (api("a", "/a", "http://"), "must be a URL"),
        (api("a", "/a", "http://u:p@b"), "must not contain credentials"),
        (api("a", "/a", "http://b?c"), "a query or a fragment"),
        (api("a", "/a", "http://b#c"), "a query or a fragment"),
        (api("a", "/a", "http://b:0"), "a port from 1 to 65535"),
        (api("a", "/a", "http://b:65536"), "a port from 1 to 65535"),
        (api("a", "/a", "http://b/../c"), "in its path"),
        (long, "idle_timeout_ms must be from 1 ms to 600000 ms, not 600001 ms"),
    ];
    for (api, expected) in cases {
        let error = check(vec![api]).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let duplicate = vec![api("a", "/a", "http://b"), api("b", "/a", "http://c")];
    let error = check(duplicate).unwrap_err().to_string();
    assert_eq!(error, "API \"b\": duplicate path \"/a\"");
    let many = (0..257).map(|n| api(&n.to_string(), &format!("/{n}"), "http://b")).collect();
    let error = check(many).unwrap_err().to_string();
    assert_eq!(error, "too many APIs: 257, maximum 256");
}

#[test]
fn a_backend_keeps_its_connections_across_configuration_changes() {
    let apis = vec![api("a", "/a", "http://b:80/x/"), api("b", "/b", "http://b:80/y")];
    let old = check(apis.clone()).unwrap();
    assert!(Arc::ptr_eq(&old.apis[0].origin, &old.apis[1].origin));
    assert_eq!(old.route("/a").unwrap().base_path, "/x");
    let message = GatewayConfiguration { revision: 2, apis, ..Default::default() };
    let new = Configuration::check(message, Some(&old), &Metrics::new(1)).unwrap();
    assert!(Arc::ptr_eq(&old.apis[0].origin, &new.apis[0].origin));
    let other = old.for_another_worker(None);
    assert!(
        !Arc::ptr_eq(&old.apis[0].origin, &other.apis[0].origin),
        "each worker has its own origin"
    );
    assert!(Arc::ptr_eq(&other.apis[0].origin, &other.apis[1].origin));
    let new = new.for_another_worker(Some(&other));
    assert!(Arc::ptr_eq(&other.apis[0].origin, &new.apis[0].origin));
    assert_eq!((new.revision, new.route("/b").unwrap().base_path.as_str()), (2, "/y"));
}

#[test]
fn a_redirect_is_a_host_and_a_port() {
    let check = |redirect: &str| {
        let message = GatewayConfiguration { redirect: redirect.to_owned(), ..Default::default() };
        Configuration::check(message, None, &Metrics::new(1))
    };
    assert!(check("").unwrap().redirect().is_none());
    assert!(check("eastus.contoso.regional.example.net:8080").unwrap().redirect().is_some());
    let error = check("http://example.net").unwrap_err().to_string();
    assert_eq!(error, "the redirect \"http://example.net\" must be a host name and a port");
}
