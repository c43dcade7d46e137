//! What a unit takes on.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use hyper::header::HeaderMap;
use hyper::http::request::Parts;
use meridian_proto::v1::GatewayLimits;

use crate::load::{InFlight, Load};
use crate::problem::Problem;

/// What a unit takes on; 0 means no limit.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    given: GatewayLimits,
    rate: Option<Arc<DefaultDirectRateLimiter>>,
}

impl Limits {
    /// The limits that are `given`. A rate that `previous` had too goes on where it was.
    pub(crate) fn new(given: GatewayLimits, previous: Option<&Self>) -> Self {
        let same =
            previous.filter(|old| old.given.requests_per_second == given.requests_per_second);
        let fresh = || {
            let rate = NonZeroU32::new(given.requests_per_second)?;
            Some(Arc::new(RateLimiter::direct(Quota::per_second(rate))))
        };
        let rate = same.map_or_else(fresh, |old| old.rate.clone());
        Self { given, rate }
    }

    /// Lets a call in, or says why not. The call has to be small enough, the unit neither too busy
    /// nor called too often.
    pub(crate) fn admit(&self, parts: &Parts, load: &Arc<Load>) -> Result<InFlight, Problem> {
        let most = self.given.header_bytes;
        if most > 0 && head_bytes(parts) > most as usize {
            return Err(Problem::HeadTooLarge);
        }
        if let Some(rate) = &self.rate
            && let Err(not_until) = rate.check()
        {
            let wait = not_until.wait_time_from(DefaultClock::default().now());
            return Err(Problem::TooManyRequests(wait));
        }
        let call = load.enter();
        let most = self.given.concurrent_requests;
        if most > 0 && call.running() > most { Err(Problem::Full) } else { Ok(call) }
    }

    pub(crate) fn concurrent_requests(&self) -> u32 {
        self.given.concurrent_requests
    }

    pub(crate) fn header_bytes(&self) -> u32 {
        self.given.header_bytes
    }

    /// The longest body of a call, in bytes.
    pub(crate) fn body_bytes(&self) -> u64 {
        if self.given.body_bytes == 0 { u64::MAX } else { self.given.body_bytes }
    }

    /// For the head of a call to arrive.
    pub(crate) fn header_timeout(&self) -> Option<Duration> {
        let given = self.given.header_timeout_ms;
        (given > 0).then(|| Duration::from_millis(given.into()))
    }
}

/// The size of a call's head, as HTTP/1.1 writes it.
fn head_bytes(parts: &Parts) -> usize {
    let authority = parts.uri.authority().map_or(0, |authority| authority.as_str().len());
    let target = parts.uri.path().len() + parts.uri.query().map_or(0, |query| query.len() + 1);
    let line = parts.method.as_str().len() + " ".len() + " HTTP/1.1\r\n".len();
    line + authority + target + fields_bytes(&parts.headers) + "\r\n".len()
}

fn fields_bytes(headers: &HeaderMap) -> usize {
    let field = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        name.as_str().len() + ": ".len() + value.len() + "\r\n".len()
    };
    headers.iter().map(field).sum()
}
