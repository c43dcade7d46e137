//! The headers that describe a client to backends: X-Forwarded-For and Forwarded. They rarely
//! change between the requests of a connection, so they are cached.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::header::HeaderValue;

/// Cached header values that describe the client of a connection.
#[derive(Debug)]
pub(crate) struct ForwardedHeaders {
    /// Value of X-Forwarded-For.
    pub(crate) forwarded_for: HeaderValue,
    /// Element of Forwarded without a host.
    element_without_host: String,
    /// The host of the previous request, and its element of Forwarded.
    last_host: Mutex<Option<(HeaderValue, HeaderValue)>>,
}

impl ForwardedHeaders {
    pub(crate) fn new(peer: IpAddr) -> Self {
        let element_without_host = match peer {
            IpAddr::V4(peer) => format!("for={peer};proto=http"),
            IpAddr::V6(peer) => format!("for=\"[{peer}]\";proto=http"),
        };
        Self {
            forwarded_for: header_value(&peer.to_string()),
            element_without_host,
            last_host: Mutex::default(),
        }
    }

    /// Returns true if the previous request had the same, already validated, `host`.
    pub(crate) fn is_last_host(&self, host: &HeaderValue) -> bool {
        self.last_host().as_ref().is_some_and(|(last, _)| last == host)
    }

    /// Returns the element of Forwarded (RFC 7239) for a request to `host`, which must be
    /// validated.
    pub(crate) fn forwarded_element(&self, host: Option<&HeaderValue>) -> HeaderValue {
        let Some((host, name)) = host.and_then(|host| Some((host, host.to_str().ok()?))) else {
            return header_value(&self.element_without_host);
        };
        let mut last_host = self.last_host();
        if let Some((_, element)) = last_host.as_ref().filter(|(last, _)| last == host) {
            return element.clone();
        }
        let mut element = self.element_without_host.clone();
        // A validated host contains no quotes.
        write!(element, ";host=\"{name}\"").expect("writing to a string cannot fail");
        let element = header_value(&element);
        *last_host = Some((host.clone(), element.clone()));
        element
    }

    fn last_host(&self) -> MutexGuard<'_, Option<(HeaderValue, HeaderValue)>> {
        self.last_host.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn header_value(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).expect("the value consists of visible characters")
}
