//! Problems as of RFC 9457: what callers get instead of a backend's answer. They never say where a
//! backend is.

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::forward::Body;

/// What a disabled or full unit tells callers to wait before they try again, in seconds.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// Why the unit itself answers a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The call breaks a rule of HTTP, or is ambiguous.
    BadRequest(&'static str),
    NoApi,
    Disabled,
    /// The caller stopped within its call's body.
    CallerTimeout,
    BackendFailed,
    BackendTimeout,
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
            Self::Disabled => StatusCode::SERVICE_UNAVAILABLE,
            Self::CallerTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::BackendFailed => StatusCode::BAD_GATEWAY,
            Self::BackendTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    fn detail(self) -> &'static str {
        match self {
            Self::BadRequest(detail) => detail,
            Self::NoApi => "no API of this service has that path",
            Self::Disabled => "the gateway of this region is disabled",
            Self::CallerTimeout => "the body of the call took too long to arrive",
            Self::BackendFailed => "the backend of this API could not be reached or broke off",
            Self::BackendTimeout => "the backend of this API took too long to answer",
        }
    }

    pub(crate) fn response(self) -> Response<Body> {
        let status = self.status();
        let document = Document {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            detail: self.detail(),
        };
        let mut response = json("application/problem+json", to_json(&document));
        *response.status_mut() = status;
        if self == Self::Disabled {
            response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        response
    }
}

pub(crate) fn to_json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("texts and numbers can be written as JSON").into()
}

/// A successful answer of `kind`.
pub(crate) fn json(kind: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::Whole(Some(body)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
