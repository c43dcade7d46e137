//! Body of a request, which is streamed from the client to the backend.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::problem::Problem;

const WAITING_FOR_BACKEND: u8 = 0;
const WAITING_FOR_CLIENT: u8 = 1;
const DONE: u8 = 2;
const TOO_LARGE: u8 = 3;
const BROKEN: u8 = 4;

/// Body of a request. Default: none.
#[derive(Debug, Default)]
pub(crate) struct Upload(Option<Streaming>);

#[derive(Debug)]
struct Streaming {
    incoming: Incoming,
    /// Number of bytes left up to the limit.
    left: u64,
    progress: Arc<Progress>,
}

/// Progress of an upload.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Side that the upload waits for, or how the upload ended.
    state: AtomicU8,
    /// Number of forwarded frames; wraps.
    frames: AtomicU32,
    ended: Notify,
}

/// Error that ends a request body early.
#[derive(Debug)]
pub(crate) enum UploadError {
    Client(hyper::Error),
    TooLarge,
}

impl fmt::Display for UploadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(error) => {
                write!(f, "failed to read the request body from the client: {error}")
            }
            Self::TooLarge => f.write_str("the request body is too large"),
        }
    }
}

impl std::error::Error for UploadError {}

impl Upload {
    /// Wraps `incoming` and returns its progress, or `None` if the body is empty.
    pub(crate) fn new(incoming: Incoming, limit: u64) -> (Self, Option<Arc<Progress>>) {
        if incoming.is_end_stream() {
            return (Self(None), None);
        }
        let progress = Arc::new(Progress::default());
        let shared = Some(Arc::clone(&progress));
        (Self(Some(Streaming { incoming, left: limit, progress })), shared)
    }
}

impl Progress {
    /// Returns true if the whole body was forwarded.
    pub(crate) fn is_complete(&self) -> bool {
        self.state.load(Ordering::Acquire) == DONE
    }

    /// Returns the problem with the request if its body could not be read to the end.
    pub(crate) fn error(&self) -> Option<Problem> {
        match self.state.load(Ordering::Acquire) {
            TOO_LARGE => Some(Problem::BodyTooLarge),
            BROKEN => Some(Problem::BadRequest("the request body is incomplete or malformed")),
            _ => None,
        }
    }

    /// Waits until nothing more is to be forwarded. Returns an error after `idle` without progress.
    pub(crate) async fn uploaded(&self, idle: Duration) -> Result<(), Problem> {
        let ended = self.ended.notified();
        tokio::pin!(ended);
        loop {
            let frames = self.frames.load(Ordering::Relaxed);
            tokio::select! {
                biased;
                () = &mut ended => return Ok(()),
                () = sleep(idle) => {}
            }
            if frames != self.frames.load(Ordering::Relaxed) {
                continue;
            }
            match self.state.load(Ordering::Acquire) {
                WAITING_FOR_CLIENT => return Err(Problem::ClientTimeout),
                WAITING_FOR_BACKEND => return Err(Problem::BackendTimeout),
                _ => return Ok(()),
            }
        }
    }

    fn wait_for(&self, state: u8) {
        self.state.store(state, Ordering::Release);
    }

    fn end(&self, state: u8) {
        self.state.store(state, Ordering::Release);
        self.ended.notify_one();
    }
}

impl Streaming {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        if polled.is_pending() {
            self.progress.wait_for(WAITING_FOR_CLIENT);
        }
        let Some(frame) = ready!(polled) else {
            self.progress.end(DONE);
            return Poll::Ready(None);
        };
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => {
                self.progress.end(BROKEN);
                return Poll::Ready(Some(Err(UploadError::Client(error))));
            }
        };
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        let Some(left) = self.left.checked_sub(length) else {
            self.progress.end(TOO_LARGE);
            return Poll::Ready(Some(Err(UploadError::TooLarge)));
        };
        self.left = left;
        self.progress.frames.fetch_add(1, Ordering::Relaxed);
        if self.incoming.is_end_stream() {
            self.progress.end(DONE);
        } else {
            self.progress.wait_for(WAITING_FOR_BACKEND);
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        match &mut self.0 {
            Some(streaming) => streaming.poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|streaming| streaming.incoming.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Some(streaming) => streaming.incoming.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}
