//! Redirects from a disabled gateway.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use meridian_agent::driver::{Driver as _, UnitSpec};
use meridian_domain::routing::RedirectTarget;
use meridian_domain::{Configuration, Incarnation};

use super::Machine;
use crate::support::{configuration, eventually, until_ready};

/// Returns the configuration of a disabled gateway that redirects to a region, at the same revision for
/// every region.
fn redirecting(region: &str) -> Arc<Configuration> {
    let host = format!("{region}.contoso.regional.gateways.example.net");
    let redirect = Some(RedirectTarget { host, port: 8080 });
    Arc::new(Configuration { enabled: false, redirect, ..configuration(9, &[]) })
}

/// Returns the status of a response, and its `Location` up to the path.
fn get(address: SocketAddr) -> (String, Option<String>) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /orders HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    let status = response.split(' ').nth(1).unwrap().to_owned();
    let location = response.lines().find_map(|line| line.strip_prefix("location: "));
    let location = location.and_then(|location| location.split_once("/orders"));
    (status, location.map(|(origin, _)| origin.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_redirects_to_the_target_that_the_agent_names_last() {
    let machine = Machine::new();
    let driver = machine.driver(1).await;
    let spec = UnitSpec { configuration: redirecting("eastus"), ..machine.spec(7) };
    driver.start(spec).await.unwrap();
    until_ready(&driver, 1).await;
    let expected = |region: &str| {
        let origin = format!("http://{region}.contoso.regional.gateways.example.net:8080");
        ("307".to_owned(), Some(origin))
    };
    assert_eq!(get(machine.address()), expected("eastus"));
    driver.configure(Incarnation(7), redirecting("southeastasia")).await.unwrap();
    let moved = || get(machine.address()) == expected("southeastasia");
    eventually("the target has changed", moved).await;
    let without = Configuration { redirect: None, ..(*redirecting("eastus")).clone() };
    driver.configure(Incarnation(7), Arc::new(without)).await.unwrap();
    let refused = || get(machine.address()) == ("503".to_owned(), None);
    eventually("requests are refused", refused).await;
    machine.tidy(&driver).await;
}
