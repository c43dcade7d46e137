//! Echo backend of a new cluster's first API: returns the request that it received, and the gateway
//! unit that forwarded it.

use std::io;

use axum::Router;
use axum::http::header::{CONTENT_TYPE, VIA};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

/// Name of the API.
pub const API: &str = "echo";
/// Path of the API.
pub const PATH: &str = "/echo";

/// Serves requests on `listener` until aborted.
///
/// # Errors
/// If the listener fails permanently.
pub async fn serve(listener: TcpListener) -> io::Result<()> {
    axum::serve(listener, Router::new().fallback(echo)).await
}

async fn echo(method: Method, uri: Uri, headers: HeaderMap) -> impl IntoResponse {
    let unit = unit(&headers);
    let region = unit.as_deref().and_then(|unit| unit.split('/').nth(1)).map(str::to_owned);
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let fields: Map<String, Value> = headers
        .iter()
        .map(|(name, value)| (name.to_string(), text(value.as_bytes()).into()))
        .collect();
    let body = json!({
        "region": region,
        "unit": unit,
        "method": method.as_str(),
        "path": uri.path(),
        "query": uri.query(),
        "headers": fields,
    });
    ([(CONTENT_TYPE, "application/json")], format!("{body:#}\n"))
}

/// Returns the unit that forwarded the request, from its `Via` header: `1.1 contoso.westeurope.1`.
fn unit(headers: &HeaderMap) -> Option<String> {
    let via = headers.get_all(VIA).iter().next_back()?.to_str().ok()?;
    let last = via.rsplit(',').next()?.trim();
    let by = last.split_whitespace().nth(1)?;
    Some(by.replace('.', "/")).filter(|unit| unit.split('/').count() == 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_via_entry_names_the_unit() {
        let mut headers = HeaderMap::new();
        assert_eq!(unit(&headers), None);
        headers.insert(VIA, "1.1 proxy, 2 contoso.westeurope.12".parse().expect("valid header"));
        assert_eq!(unit(&headers).as_deref(), Some("contoso/westeurope/12"));
        headers.insert(VIA, "1.1 proxy.example".parse().expect("valid header"));
        assert_eq!(unit(&headers), None);
    }
}
