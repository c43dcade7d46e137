//! Problem details (RFC 9457): the responses of the unit itself when it does not forward a request.
//! They never contain the address of a backend.

use std::time::Duration;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde::Serialize;

/// Value of Retry-After from a disabled or overloaded unit, in seconds.
const RETRY_AFTER_SECONDS: u64 = 1;

/// Reason why the unit itself responds to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The request violates HTTP or is ambiguous.
    BadRequest(&'static str),
    NoApi,
    Disabled,
    /// The client stalled in the middle of the request body.
    ClientTimeout,
    HeadTooLarge,
    BodyTooLarge,
    /// The next request would be admitted after this time.
    TooManyRequests(Duration),
    /// The unit has its maximum number of requests in flight.
    Overloaded,
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
            Self::Disabled | Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooManyRequests(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::ClientTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::BackendFailed => StatusCode::BAD_GATEWAY,
            Self::BackendTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Loop => StatusCode::LOOP_DETECTED,
        }
    }

    fn detail(self) -> &'static str {
        match self {
            Self::BadRequest(detail) => detail,
            Self::NoApi => "no API of this service matches the path",
            Self::Disabled => "the gateway of this region is disabled",
            Self::HeadTooLarge => "the request head exceeds the limit of this gateway",
            Self::BodyTooLarge => "the request body exceeds the limit of this gateway",
            Self::TooManyRequests(_) => "this gateway has reached its request rate limit",
            Self::Overloaded => "this gateway has reached its limit of concurrent requests",
            Self::ClientTimeout => "timed out reading the request body",
            Self::BackendFailed => {
                "the backend of this API is unreachable or closed the connection"
            }
            Self::BackendTimeout => "the backend of this API did not respond in time",
            Self::Loop => "forwarding loop: the backend of this API leads back to this gateway",
        }
    }

    /// Returns the value of Retry-After, in seconds.
    fn retry_after(self) -> Option<u64> {
        match self {
            Self::Disabled | Self::Overloaded => Some(RETRY_AFTER_SECONDS),
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
        let mut response = ok_response("application/problem+json", to_json(&document));
        *response.status_mut() = status;
        if let Some(seconds) = self.retry_after() {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

pub(crate) fn to_json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("strings and numbers can be serialized as JSON").into()
}

/// Builds a response of `content_type` with status 200.
pub(crate) fn ok_response(content_type: &'static str, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
