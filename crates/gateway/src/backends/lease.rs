//! A call's hold on a connection to a backend.

use std::fmt;
use std::sync::Arc;

use futures::future::Either;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::{Request, Response};

use super::form::{self, Form};
use super::origin::Origin;
use super::pool::Found;
use super::upload::{Progress, Upload};

/// A call's hold on a connection: its own of HTTP/1.1, or a place on one of HTTP/2.
pub(crate) struct Lease {
    found: Found,
    origin: Arc<Origin>,
    progress: Option<Arc<Progress>>,
    /// Whether the connection was made for this call.
    is_new: bool,
}

impl Lease {
    /// A hold on a connection that is open already.
    pub(super) fn on(found: Found, origin: &Arc<Origin>) -> Self {
        Self { found, origin: Arc::clone(origin), progress: None, is_new: false }
    }

    /// A hold on a connection that was made for it.
    pub(super) fn on_new(found: Found, origin: &Arc<Origin>) -> Self {
        Self { is_new: true, ..Self::on(found, origin) }
    }

    /// Whether the connection was made for this call.
    pub(crate) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Whether the backend has a way to refuse a call before it looks at it.
    pub(crate) fn can_refuse(&self) -> bool {
        matches!(self.found, Found::Http2(_))
    }

    /// Whether the backend began to say something else than an answer, or broke off within its head.
    pub(crate) fn has_heard(&self) -> bool {
        match &self.found {
            Found::Http1(connection) => connection.has_heard(),
            // What is no answer there concerns the connection.
            Found::Http2(_) => false,
        }
    }

    /// Sends `request` in the form that the protocol has for it; `progress` tells of its body.
    pub(crate) fn send(
        &mut self,
        mut request: Request<Upload>,
        form: Form,
        progress: Option<Arc<Progress>>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Upload>>>> + use<>
    {
        let has_body = progress.is_some();
        self.progress = progress;
        match &mut self.found {
            Found::Http1(connection) => {
                form::http1(&mut request, &self.origin, has_body);
                Either::Left(connection.next_call().try_send_request(request))
            }
            Found::Http2(seat) => {
                form::http2(&mut request, &self.origin, form);
                Either::Right(seat.sender().try_send_request(request))
            }
        }
    }

    /// Lets other calls have the connection. To be called at the end of an answer.
    pub(crate) fn give_back(self) {
        // An answer may come before its call was read. What remains of that is in the way.
        let is_over = self.progress.as_ref().is_none_or(|progress| progress.is_over());
        if !is_over {
            self.distrust();
        }
        if let Found::Http1(connection) = self.found
            && is_over
            && !connection.is_closed()
        {
            self.origin.pool().keep(connection);
        }
    }

    /// Has other calls go by other connections: something took too long on this one, and its other
    /// end may be gone.
    pub(crate) fn distrust(&self) {
        if let Found::Http2(seat) = &self.found {
            seat.retire();
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("base", self.origin.base()).finish_non_exhaustive()
    }
}
