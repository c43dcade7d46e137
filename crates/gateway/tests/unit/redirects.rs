//! Redirects of clients from a disabled gateway, and the mark of redirected requests.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use meridian_proto::v1::GatewayConfiguration;
use tokio::net::TcpStream;

use crate::backend::Backend;
use crate::support::{Client, ClientResponse, Running, api, configuration, eventually};

const TARGET: &str = "eastus.contoso.regional.gateways.example.net:8080";

/// Returns the configuration of a disabled gateway that redirects.
fn redirecting() -> GatewayConfiguration {
    let mut redirecting = configuration(1, vec![api("/", "http://127.0.0.1:1".to_owned())]);
    (redirecting.enabled, redirecting.redirect) = (false, TARGET.to_owned());
    redirecting
}

fn request(unit: &Running, method: &str, target: &str) -> ClientResponse {
    Client::connect(unit.address).unwrap().request(method, target).unwrap()
}

/// Asserts that the response redirects to `location` below the target.
fn assert_redirected(response: &ClientResponse, location: &str) {
    assert_eq!(response.status(), 307, "{response:?}");
    assert_eq!(response.headers("location"), [format!("http://{TARGET}{location}")]);
    assert_eq!(response.headers("cache-control"), ["no-store"]);
    assert_eq!(response.headers("connection"), ["close"]);
    assert_eq!(response.body, "");
}

fn assert_refused(response: &ClientResponse) {
    assert_eq!(response.problem().0, 503, "{response:?}");
    assert_eq!(response.headers("retry-after"), ["1"]);
    assert!(response.headers("location").is_empty());
}

async fn http2(unit: &Running, method: Method, url: &str) -> Response<Bytes> {
    let io = TokioIo::new(TcpStream::connect(unit.address).await.unwrap());
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let request = Request::builder().method(method).uri(url).body(Full::new(Bytes::new()));
    let (parts, body) = sender.send_request(request.unwrap()).await.unwrap().into_parts();
    Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_gateway_redirects_reads_and_refuses_other_methods() {
    let unit = Running::serving(redirecting());
    for method in ["GET", "HEAD"] {
        let response = request(&unit, method, "/orders/5");
        assert_redirected(&response, "/orders/5?meridian-redirected=1");
        let response = request(&unit, method, "/orders?first=1&x=%20");
        assert_redirected(&response, "/orders?first=1&x=%20&meridian-redirected=1");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        assert_refused(&request(&unit, method, "/orders/5"));
    }
    assert_eq!(request(&unit, "GET", "/status-0123456789abcdef").status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_redirected_only_once() {
    let unit = Running::serving(redirecting());
    assert_refused(&request(&unit, "GET", "/orders?meridian-redirected=1"));
    assert_refused(&request(&unit, "GET", "/orders?first=1&meridian-redirected=1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_path_and_the_query_of_a_request_are_in_the_redirect() {
    let unit = Running::serving(redirecting());
    let response = request(&unit, "GET", "//evil.example/a");
    assert_redirected(&response, "//evil.example/a?meridian-redirected=1");
    let response = request(&unit, "GET", "http://test/a?b");
    assert_redirected(&response, "/a?b&meridian-redirected=1");
    let response = request(&unit, "GET", "/a%0d%0aset-cookie:b");
    assert_redirected(&response, "/a%0d%0aset-cookie:b?meridian-redirected=1");
    let mut client = Client::connect(unit.address).unwrap();
    client.send("GET /a HTTP/1.1\r\nHost: evil.example\r\n\r\n").unwrap();
    assert_redirected(&client.receive().unwrap(), "/a?meridian-redirected=1");
    for bad in ["/a/../b", "http://other/a"] {
        assert_eq!(request(&unit, "GET", bad).status(), 400, "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_with_http2_are_redirected_too() {
    let unit = Running::serving(redirecting());
    let response = http2(&unit, Method::GET, "http://contoso.example/a?b").await;
    assert_eq!(response.status(), 307);
    let expected = format!("http://{TARGET}/a?b&meridian-redirected=1");
    assert_eq!(response.headers()["location"], expected);
    assert_eq!(response.headers()["cache-control"], "no-store");
    for (method, query) in [(Method::POST, "b"), (Method::GET, "meridian-redirected=1")] {
        let url = format!("http://contoso.example/a?{query}");
        assert_eq!(http2(&unit, method, &url).await.status(), 503, "{url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_backend_sees_the_mark() {
    let backend = Backend::echo().await;
    let apis = vec![api("/", backend.url("")), api("/orders", backend.url("/v2"))];
    let unit = Running::serving(configuration(1, apis));
    for (target, expected) in [
        ("/?meridian-redirected=1", "/"),
        ("/a?b=%2F&meridian-redirected=1", "/a?b=%2F"),
        ("/a?&meridian-redirected=1", "/a?"),
        ("/orders/5?meridian-redirected=1&b&c", "/v2/5?b&c"),
        ("/orders?x-meridian-redirected=1", "/v2?x-meridian-redirected=1"),
    ] {
        for body in [
            request(&unit, "GET", target).body,
            request(&unit, "POST", target).body,
            text(http2(&unit, Method::GET, &format!("http://contoso.example{target}")).await),
        ] {
            let (_, found) = body.lines().next().unwrap().split_once(' ').unwrap();
            assert_eq!(found, expected, "{body}");
            assert!(!body.contains(" meridian-redirected"), "{body}");
        }
    }
}

fn text(response: Response<Bytes>) -> String {
    String::from_utf8(response.into_body().to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_target_changes_at_the_same_revision_and_without_one_requests_are_refused() {
    let unit = Running::serving(redirecting());
    let moved = "southeastasia.contoso.regional.gateways.example.net:8081".to_owned();
    unit.configure(GatewayConfiguration { redirect: moved.clone(), ..redirecting() });
    let response = request(&unit, "GET", "/a");
    let location = format!("http://{moved}/a?meridian-redirected=1");
    assert_eq!(response.headers("location"), [location]);
    unit.configure(GatewayConfiguration { redirect: String::new(), ..redirecting() });
    assert_refused(&request(&unit, "GET", "/a"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_disabled_serves_until_its_clients_have_left_then_redirects() {
    let backend = Backend::echo().await;
    let mut settings = configuration(1, vec![api("/", backend.url(""))]);
    let unit = Running::serving(settings.clone());
    (settings.revision, settings.enabled) = (2, false);
    settings.redirect = TARGET.to_owned();
    unit.configure(settings.clone());
    assert_eq!(request(&unit, "GET", "/a").status(), 200);
    // Another target does not begin the steps again.
    settings.redirect = TARGET.replace("eastus", "westus");
    unit.configure(settings);
    let mut statuses = Vec::new();
    eventually("clients are redirected", || {
        statuses.push(request(&unit, "GET", "/a").status());
        statuses.last() == Some(&307)
    });
    statuses.dedup();
    assert_eq!(statuses, [200, 307]);
}
