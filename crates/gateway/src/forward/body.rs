//! Bodies of responses.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use crate::backends::Lease;
use crate::request_record::RequestRecord;

/// Body of a response.
#[derive(Debug)]
pub(crate) struct Body {
    source: Source,
    /// Record of the request that ends with this body.
    record: Option<RequestRecord>,
}

#[derive(Debug)]
enum Source {
    /// A body of the unit itself.
    Full(Option<Bytes>),
    /// A backend's body, which is still streaming.
    Streaming(Download),
}

/// A body that is streamed from the backend to the client.
#[derive(Debug)]
pub(crate) struct Download {
    incoming: Incoming,
    idle: Duration,
    /// Runs while the unit waits for the backend; reused for each wait.
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
    /// Held until the end of the body, when the connection becomes available to other requests.
    lease: Option<Lease>,
}

/// Error that ends a response body early.
#[derive(Debug)]
pub(crate) enum BodyError {
    Backend(hyper::Error),
    Idle,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backend(error) => write!(f, "the response of the backend failed: {error}"),
            Self::Idle => f.write_str("idle timeout in the response of the backend"),
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
            lease.release();
        }
    }

    /// Completes once the idle timeout has passed.
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
                    lease.retire();
                }
                Poll::Ready(Some(Err(BodyError::Idle)))
            }
        }
    }
}

impl Body {
    /// Creates a body of the unit itself.
    pub(crate) fn full(bytes: Bytes) -> Self {
        Self { source: Source::Full(Some(bytes)), record: None }
    }

    /// Creates an empty body.
    pub(super) fn empty() -> Self {
        Self { source: Source::Full(None), record: None }
    }

    pub(super) fn streaming(download: Download) -> Self {
        Self { source: Source::Streaming(download), record: None }
    }

    /// Attaches the `record` of the request that ends with this body.
    pub(crate) fn with_record(self, record: RequestRecord) -> Self {
        Self { record: Some(record), ..self }
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
            Source::Full(bytes) => bytes.take().map(|bytes| Ok(Frame::data(bytes))),
            Source::Streaming(download) => ready!(download.poll_frame(cx)),
        };
        if let (Some(record), Some(Ok(frame))) = (&mut body.record, &frame) {
            record.add_sent(frame.data_ref().map_or(0, Bytes::len));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Full(bytes) => bytes.is_none(),
            Source::Streaming(download) => download.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Full(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Source::Streaming(download) => download.incoming.size_hint(),
        }
    }
}
