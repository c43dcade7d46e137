//! Limits of a unit.

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

/// Limits of a unit; 0 means no limit.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    settings: GatewayLimits,
    rate: Option<Arc<DefaultDirectRateLimiter>>,
}

impl Limits {
    /// Creates limits from `settings`. If the rate is the same as in `previous`, its current state
    /// is kept.
    pub(crate) fn new(settings: GatewayLimits, previous: Option<&Self>) -> Self {
        let same =
            previous.filter(|old| old.settings.requests_per_second == settings.requests_per_second);
        let fresh = || {
            let rate = NonZeroU32::new(settings.requests_per_second)?;
            Some(Arc::new(RateLimiter::direct(Quota::per_second(rate))))
        };
        let rate = same.map_or_else(fresh, |old| old.rate.clone());
        Self { settings, rate }
    }

    /// Admits a request, or returns the limit that it exceeds: head size, rate, or concurrent
    /// requests.
    pub(crate) fn admit(&self, parts: &Parts, load: &Arc<Load>) -> Result<InFlight, Problem> {
        let max = self.settings.header_bytes;
        if max > 0 && head_bytes(parts) > max as usize {
            return Err(Problem::HeadTooLarge);
        }
        if let Some(rate) = &self.rate
            && let Err(not_until) = rate.check()
        {
            let wait = not_until.wait_time_from(DefaultClock::default().now());
            return Err(Problem::TooManyRequests(wait));
        }
        let request = load.enter();
        let max = self.settings.concurrent_requests;
        if max > 0 && request.concurrent() > max { Err(Problem::Overloaded) } else { Ok(request) }
    }

    pub(crate) fn concurrent_requests(&self) -> u32 {
        self.settings.concurrent_requests
    }

    pub(crate) fn header_bytes(&self) -> u32 {
        self.settings.header_bytes
    }

    /// Returns the maximum size of a request body, in bytes.
    pub(crate) fn body_bytes(&self) -> u64 {
        if self.settings.body_bytes == 0 { u64::MAX } else { self.settings.body_bytes }
    }

    /// Returns the timeout for reading a request head, or `None` without one.
    pub(crate) fn header_timeout(&self) -> Option<Duration> {
        let timeout_ms = self.settings.header_timeout_ms;
        (timeout_ms > 0).then(|| Duration::from_millis(timeout_ms.into()))
    }
}

/// Returns the size of a request head as HTTP/1.1 encodes it, in bytes.
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
