//! The body of an answer.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use crate::account::Account;
use crate::backends::Lease;

/// The body of an answer.
#[derive(Debug)]
pub(crate) struct Body {
    source: Source,
    /// Of the call that ends with this.
    account: Option<Account>,
}

#[derive(Debug)]
enum Source {
    /// The unit's own.
    Whole(Option<Bytes>),
    /// A backend's, which still flows.
    Flowing(Download),
}

/// A body on its way from the backend to the caller.
#[derive(Debug)]
pub(crate) struct Download {
    incoming: Incoming,
    idle: Duration,
    /// Runs while the backend is waited for; kept from one wait to the next.
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
    /// Until the body's end, from where on other calls can have the connection.
    lease: Option<Lease>,
}

/// Why the body of an answer ends too early.
#[derive(Debug)]
pub(crate) enum BodyError {
    Backend(hyper::Error),
    Idle,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backend(error) => write!(f, "the backend broke off within its answer: {error}"),
            Self::Idle => f.write_str("the backend stopped within its answer"),
        }
    }
}

impl std::error::Error for BodyError {}

impl Download {
    pub(super) fn new(incoming: Incoming, idle: Duration, lease: Lease) -> Self {
        let mut body = Self { incoming, idle, timer: None, waiting: false, lease: Some(lease) };
        body.release_at_end();
        body
    }

    fn release_at_end(&mut self) {
        if self.incoming.is_end_stream()
            && let Some(lease) = self.lease.take()
        {
            lease.give_back();
        }
    }

    /// Whether the backend was waited for too long.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let idle = self.idle;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(idle)));
        if !self.waiting {
            timer.as_mut().reset(Instant::now() + idle);
            self.waiting = true;
        }
        timer.as_mut().poll(cx)
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.waiting = false;
                self.release_at_end();
                Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Backend)))
            }
            Poll::Pending => {
                ready!(self.poll_idle(cx));
                if let Some(lease) = &self.lease {
                    lease.distrust();
                }
                Poll::Ready(Some(Err(BodyError::Idle)))
            }
        }
    }
}

impl Body {
    /// A body of the unit itself.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self { source: Source::Whole(Some(bytes)), account: None }
    }

    /// No body.
    pub(super) fn empty() -> Self {
        Self { source: Source::Whole(None), account: None }
    }

    pub(super) fn flowing(download: Download) -> Self {
        Self { source: Source::Flowing(download), account: None }
    }

    /// Has the call of `account` end with this.
    pub(crate) fn counted_by(self, account: Account) -> Self {
        Self { account: Some(account), ..self }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let body = self.get_mut();
        let frame = match &mut body.source {
            Source::Whole(bytes) => bytes.take().map(|bytes| Ok(Frame::data(bytes))),
            Source::Flowing(download) => ready!(download.poll_frame(cx)),
        };
        if let (Some(account), Some(Ok(frame))) = (&mut body.account, &frame) {
            account.sent(frame.data_ref().map_or(0, Bytes::len));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Whole(bytes) => bytes.is_none(),
            Source::Flowing(download) => download.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Source::Flowing(download) => download.incoming.size_hint(),
        }
    }
}
