//! What backends are told of a caller. It is the same from call to call of a connection as a rule,
//! so it is kept.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::header::HeaderValue;

/// What backends are told of the caller at the other end of a connection.
#[derive(Debug)]
pub(crate) struct Told {
    /// For X-Forwarded-For.
    pub(crate) peer: HeaderValue,
    /// An element of Forwarded without a host.
    hostless: String,
    /// The host of the call before, and its element of Forwarded.
    known: Mutex<Option<(HeaderValue, HeaderValue)>>,
}

impl Told {
    pub(crate) fn new(peer: IpAddr) -> Self {
        let hostless = match peer {
            IpAddr::V4(peer) => format!("for={peer};proto=http"),
            IpAddr::V6(peer) => format!("for=\"[{peer}]\";proto=http"),
        };
        Self { peer: text(&peer.to_string()), hostless, known: Mutex::default() }
    }

    /// Whether `host` was found to be a host by the call before.
    pub(crate) fn knows(&self, host: &HeaderValue) -> bool {
        self.known().as_ref().is_some_and(|(known, _)| known == host)
    }

    /// The element of Forwarded (RFC 7239) for a call to `host`, which was found to be one.
    pub(crate) fn forwarded(&self, host: Option<&HeaderValue>) -> HeaderValue {
        let Some((host, name)) = host.and_then(|host| Some((host, host.to_str().ok()?))) else {
            return text(&self.hostless);
        };
        let mut known = self.known();
        if let Some((_, element)) = known.as_ref().filter(|(known, _)| known == host) {
            return element.clone();
        }
        let mut element = self.hostless.clone();
        // A host has no quotes.
        write!(element, ";host=\"{name}\"").expect("a string takes all");
        let element = text(&element);
        *known = Some((host.clone(), element.clone()));
        element
    }

    fn known(&self) -> MutexGuard<'_, Option<(HeaderValue, HeaderValue)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn text(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).expect("is made of visible characters")
}
