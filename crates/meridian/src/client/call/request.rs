//! One HTTP request to a gateway, on its own connection.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use error_reporter::Report;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderMap, VIA};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Time to connect, before the next address is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// What is called.
#[derive(Debug)]
pub struct Destination {
    /// Name of the service.
    pub host: String,
    /// Port of the service.
    pub port: u32,
    /// Path, with its leading slash.
    pub path: String,
}

/// Response of a gateway.
#[derive(Debug)]
pub struct Response {
    /// Address of the gateway.
    pub address: SocketAddr,
    /// Status of the response.
    pub status: StatusCode,
    /// The unit that responded, such as `contoso/eastus/1`; `None` if it does not say.
    pub unit: Option<String>,
}

/// Sends a GET request to the gateway at `address`. The body of the response is not read.
///
/// # Errors
/// The cause, with the address. A status of 500 or more is one.
pub async fn send(destination: &Destination, address: IpAddr) -> Result<Response, String> {
    let port = u16::try_from(destination.port).map_err(|error| error.to_string())?;
    let address = SocketAddr::new(address, port);
    let failed = |error: &dyn std::error::Error| format!("{address}: {}", Report::new(error));
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
    let stream =
        stream.map_err(|_| format!("{address}: not connected within {CONNECT_TIMEOUT:?}"))?;
    let stream = stream.map_err(|error| failed(&error))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    // Ends with the sender.
    let connection = tokio::spawn(connection);
    let request = Request::get(&destination.path)
        .header(HOST, format!("{}:{port}", destination.host))
        .body(String::new())
        .map_err(|error| failed(&error))?;
    let response = sender.send_request(request).await.map_err(|error| failed(&error));
    connection.abort();
    let response = response?;
    let (status, unit) = (response.status(), unit(response.headers()));
    match status.is_server_error() {
        true => Err(format!("{address}: {status}")),
        false => Ok(Response { address, status, unit }),
    }
}

/// Returns the unit by the last entry of `Via`, the one closest to the client: `1.1 contoso.eastus.1`.
fn unit(headers: &HeaderMap) -> Option<String> {
    let last = headers.get_all(VIA).iter().next_back()?.to_str().ok()?;
    let received_by = last.rsplit(',').next()?.split_whitespace().nth(1)?;
    let parts: Vec<_> = received_by.split('.').collect();
    match parts.as_slice() {
        [_, _, slot] if slot.parse::<u16>().is_ok() => Some(parts.join("/")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_that_of_the_last_entry_of_via() {
        let named = |fields: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(VIA, field.parse().expect("is a value"));
            }
            unit(&headers)
        };
        assert_eq!(named(&["1.1 contoso.eastus.2"]).as_deref(), Some("contoso/eastus/2"));
        assert_eq!(
            named(&["1.1 a.b.1, 1.1 contoso.eastus.2"]).as_deref(),
            Some("contoso/eastus/2")
        );
        assert_eq!(
            named(&["1.1 a.b.1", "2 contoso.eastus.2"]).as_deref(),
            Some("contoso/eastus/2")
        );
        assert_eq!(named(&["1.1 proxy.example.net"]), None);
        assert_eq!(named(&["1.1"]), None);
        assert_eq!(named(&[]), None);
    }
}
