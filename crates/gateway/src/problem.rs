//! Problems as of RFC 9457: what callers get instead of a backend's answer. They never say where a
//! backend is.

use std::time::Duration;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde::Serialize;

/// What callers of a disabled or full unit are told to wait, in seconds.
const RETRY_AFTER_SECONDS: u64 = 1;

/// Why the unit itself answers a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The call breaks a rule of HTTP, or is ambiguous.
    BadRequest(&'static str),
    NoApi,
    Disabled,
    /// The caller stopped within its call's body.
    CallerTimeout,
    HeadTooLarge,
    BodyTooLarge,
    /// The next call would be let in after this time.
    TooManyRequests(Duration),
    /// As many calls run as may.
    Full,
    BackendFailed,
    BackendTimeout,
    /// The backend leads back to this gateway.
    Loop,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
}

impl Problem {
    fn status(self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::NoApi => StatusCode::NOT_FOUND,
            Self::Disabled | Self::Full => StatusCode::SERVICE_UNAVAILABLE,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooManyRequests(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::CallerTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::BackendFailed => StatusCode::BAD_GATEWAY,
            Self::BackendTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Loop => StatusCode::LOOP_DETECTED,
        }
    }

    fn detail(self) -> &'static str {
        match self {
            Self::BadRequest(detail) => detail,
            Self::NoApi => "no API of this service has that path",
            Self::Disabled => "the gateway of this region is disabled",
            Self::HeadTooLarge => "the head of the call is larger than this gateway takes",
            Self::BodyTooLarge => "the body of the call is larger than this gateway takes",
            Self::TooManyRequests(_) => "this gateway takes no more calls in this second",
            Self::Full => "this gateway has as many calls as it takes at a time",
            Self::CallerTimeout => "the body of the call took too long to arrive",
            Self::BackendFailed => "the backend of this API could not be reached or broke off",
            Self::BackendTimeout => "the backend of this API took too long to answer",
            Self::Loop => "the call came through this gateway before: its API leads back here",
        }
    }

    /// In seconds.
    fn retry_after(self) -> Option<u64> {
        match self {
            Self::Disabled | Self::Full => Some(RETRY_AFTER_SECONDS),
            Self::TooManyRequests(wait) => Some(wait.as_secs() + 1),
            _ => None,
        }
    }

    pub(crate) fn response(self) -> Response<Bytes> {
        let status = self.status();
        let document = Document {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            detail: self.detail(),
        };
        let mut response = json("application/problem+json", to_json(&document));
        *response.status_mut() = status;
        if let Some(seconds) = self.retry_after() {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

pub(crate) fn to_json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("texts and numbers can be written as JSON").into()
}

/// A successful answer of `kind`.
pub(crate) fn json(kind: &'static str, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
