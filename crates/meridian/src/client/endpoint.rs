//! Client address of an agent.

use std::fmt;
use std::str::FromStr;

use tonic::codegen::http::Uri;

/// Client address of an agent: `host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    authority: String,
}

/// The text is not an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAnEndpoint {
    /// Not a host and a port.
    #[error("invalid endpoint {given:?}: use HOST:PORT, such as 127.0.1.1:7400")]
    Malformed {
        /// The given text.
        given: String,
    },
    /// Requests TLS, which agents do not support.
    #[error("invalid endpoint {given:?}: agents do not support TLS yet; use http:// or no scheme")]
    Tls {
        /// The given text.
        given: String,
    },
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authority)
    }
}

impl FromStr for Endpoint {
    type Err = NotAnEndpoint;

    fn from_str(text: &str) -> Result<Self, NotAnEndpoint> {
        let given = || text.to_owned();
        let text = text.trim();
        if text.starts_with("https://") {
            return Err(NotAnEndpoint::Tls { given: given() });
        }
        let authority = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        let plain = !authority.contains(['/', '@', '?', '#']);
        let uri: Option<Uri> = format!("http://{authority}").parse().ok().filter(|_| plain);
        match uri {
            Some(uri)
                if uri.host().is_some_and(|host| !host.is_empty())
                    && uri.port_u16().is_some_and(|port| port > 0) =>
            {
                Ok(Self { authority: authority.to_owned() })
            }
            _ => Err(NotAnEndpoint::Malformed { given: given() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_and_a_port_with_an_optional_scheme() {
        for (text, shown) in [
            ("127.0.1.1:7400", "127.0.1.1:7400"),
            ("http://127.0.1.1:7400", "127.0.1.1:7400"),
            ("http://eu.example.com:7400/", "eu.example.com:7400"),
            (" localhost:7400 ", "localhost:7400"),
            ("[::1]:7400", "[::1]:7400"),
        ] {
            let endpoint: Endpoint = text.parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(endpoint.to_string(), shown);
        }
        for bad in ["", "localhost", ":7400", "a:0", "a:70000", "a:b", "a:1/x", "u@a:1", "::1:7400"]
        {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
        assert!(matches!("https://a:1".parse::<Endpoint>(), Err(NotAnEndpoint::Tls { .. })));
    }
}
