//! Redirects of clients that stay at a gateway after it was disabled.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use meridian_testkit::process::{Agent, port};
use meridian_testkit::wait::until_ok;
use meridian_tests::dns;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{GATEWAY, Three, execute};

/// A response of a gateway.
#[derive(Debug)]
struct Response {
    status: String,
    head: String,
    body: String,
}

impl Response {
    fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.filter(|field| field.0 == name).map(|field| field.1).next()
    }
}

/// Sends a request to the gateway at `address`.
async fn send(address: SocketAddr, method: &str, target: &str) -> anyhow::Result<Response> {
    let mut stream = TcpStream::connect(address).await?;
    // With HTTP/1.0 the server does not use chunks, and closes the connection after the response.
    let request = format!("{method} {target} HTTP/1.0\r\nHost: evil.example\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    let (head, body) = text.split_once("\r\n\r\n").context("the response has no head")?;
    let status = head.split(' ').nth(1).context("the response has no status code")?;
    Ok(Response { status: status.to_owned(), head: head.to_owned(), body: body.to_owned() })
}

fn gateway(agent: &Agent) -> SocketAddr {
    SocketAddr::new(agent.address(), GATEWAY)
}

/// Returns the location to which the gateway of an agent redirects a request, once it does to this
/// region.
async fn redirected(agent: &Agent, method: &str, target: &str, region: &str) -> String {
    until_ok("a redirect", async || {
        let response = send(gateway(agent), method, target).await?;
        ensure!(response.status == "307" && response.body.is_empty(), "{response:?}");
        ensure!(response.header("cache-control") == Some("no-store"), "{response:?}");
        let location = response.header("location").context("no location")?;
        let origin = format!("http://{region}.contoso.regional.meridian.test:{GATEWAY}/");
        ensure!(location.starts_with(&origin), "{response:?}");
        Ok(location.to_owned())
    })
    .await
}

/// Sends a GET request for a URL, whose host a name server resolves.
async fn follow(name_server: &Agent, location: &str) -> anyhow::Result<Response> {
    let rest = location.strip_prefix("http://").context("not http")?;
    let (authority, target) = rest.split_once('/').context("no path")?;
    let (host, port_of) = authority.split_once(':').context("no port")?;
    let server = SocketAddr::new(name_server.address(), port::DNS);
    let resolved = dns::query(server, host).await?;
    let address = *resolved.addresses.first().context("no address")?;
    send(SocketAddr::new(address.into(), port_of.parse()?), "GET", &format!("/{target}")).await
}

/// Asserts that the response is of the echo service, through the gateways of this region, and that the
/// request had no mark when it arrived there.
fn assert_echoed(response: &Response, region: &str, query: &Value) {
    assert_eq!(response.status, "200", "{response:?}");
    let echoed: Value = serde_json::from_str(&response.body).expect("a JSON document");
    // The path of the API is not part of the path at its backend.
    assert_eq!((&echoed["region"], &echoed["path"]), (&json!(region), &json!("/5")));
    assert_eq!(&echoed["query"], query);
    assert!(!response.body.contains("meridian-redirected"), "{response:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_a_disabled_region_are_redirected_once_to_the_next_one_that_serves() {
    let three = Three::start().await;
    let [westeurope, eastus, southeastasia] = &three.agents[..] else { panic!("there are three") };
    execute(westeurope, "region set eastus=1 southeastasia=1 --wait").await;
    execute(westeurope, "service update contoso --when-disabled redirect --wait").await;
    execute(eastus, "region disable eastus --yes --wait").await;

    let location = redirected(eastus, "GET", "/echo/5", "westeurope").await;
    assert!(location.ends_with("/echo/5?meridian-redirected=1"), "{location}");
    let followed = follow(southeastasia, &location).await.expect("the gateway responds");
    assert_echoed(&followed, "westeurope", &Value::Null);
    let location = redirected(eastus, "GET", "/echo/5?a=b&c", "westeurope").await;
    let followed = follow(eastus, &location).await.expect("the gateway responds");
    assert_echoed(&followed, "westeurope", &json!("a=b&c"));
    assert_eq!(redirected(eastus, "HEAD", "/echo/5?a=b&c", "westeurope").await, location);
    let refused = send(gateway(eastus), "POST", "/echo/5").await.expect("the gateway responds");
    assert_eq!((refused.status.as_str(), refused.header("retry-after")), ("503", Some("1")));

    execute(westeurope, "region disable westeurope --yes --wait").await;
    let moved = redirected(eastus, "GET", "/echo/5", "southeastasia").await;
    let followed = follow(southeastasia, &moved).await.expect("the gateway responds");
    assert_echoed(&followed, "southeastasia", &Value::Null);
    // A client that follows the former redirect late is not sent on.
    redirected(westeurope, "GET", "/echo/5", "southeastasia").await;
    let target = "/echo/5?a=b&c&meridian-redirected=1";
    let late = send(gateway(westeurope), "GET", target).await.expect("the gateway responds");
    assert_eq!((late.status.as_str(), late.header("location")), ("503", None));
}
