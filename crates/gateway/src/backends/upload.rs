//! The body of a call, on its way from the caller to the backend.

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

const AT_BACKEND: u8 = 0;
const AT_CALLER: u8 = 1;
const DONE: u8 = 2;
const TOO_LARGE: u8 = 3;
const BROKEN: u8 = 4;

/// The body of a call. Default: none.
#[derive(Debug, Default)]
pub(crate) struct Upload(Option<Flowing>);

#[derive(Debug)]
struct Flowing {
    incoming: Incoming,
    /// Bytes that may still come.
    left: u64,
    progress: Arc<Progress>,
}

/// How far an upload is.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// For whom it waits, or how it ended.
    state: AtomicU8,
    /// What was forwarded; wraps.
    parts: AtomicU32,
    over: Notify,
}

/// Why a body is not forwarded to its end.
#[derive(Debug)]
pub(crate) enum UploadError {
    Caller(hyper::Error),
    TooLarge,
}

impl fmt::Display for UploadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Caller(error) => write!(f, "the caller broke off within its call: {error}"),
            Self::TooLarge => f.write_str("the body of the call is too large"),
        }
    }
}

impl std::error::Error for UploadError {}

impl Upload {
    /// `incoming` as what is sent, and how to watch it, unless it is empty.
    pub(crate) fn new(incoming: Incoming, limit: u64) -> (Self, Option<Arc<Progress>>) {
        if incoming.is_end_stream() {
            return (Self(None), None);
        }
        let progress = Arc::new(Progress::default());
        let watched = Some(Arc::clone(&progress));
        (Self(Some(Flowing { incoming, left: limit, progress })), watched)
    }
}

impl Progress {
    /// Whether all of the body was forwarded.
    pub(crate) fn is_over(&self) -> bool {
        self.state.load(Ordering::Acquire) == DONE
    }

    /// What is wrong with the call, where its body could not be read to its end.
    pub(crate) fn fault(&self) -> Option<Problem> {
        match self.state.load(Ordering::Acquire) {
            TOO_LARGE => Some(Problem::BodyTooLarge),
            BROKEN => Some(Problem::BadRequest("the body of the call breaks off or is malformed")),
            _ => None,
        }
    }

    /// Returns when nothing more is to be forwarded, or why that did not go on for `idle`.
    pub(crate) async fn uploaded(&self, idle: Duration) -> Result<(), Problem> {
        let over = self.over.notified();
        tokio::pin!(over);
        loop {
            let parts = self.parts.load(Ordering::Relaxed);
            tokio::select! {
                biased;
                () = &mut over => return Ok(()),
                () = sleep(idle) => {}
            }
            if parts != self.parts.load(Ordering::Relaxed) {
                continue;
            }
            match self.state.load(Ordering::Acquire) {
                AT_CALLER => return Err(Problem::CallerTimeout),
                AT_BACKEND => return Err(Problem::BackendTimeout),
                _ => return Ok(()),
            }
        }
    }

    fn wait_for(&self, state: u8) {
        self.state.store(state, Ordering::Release);
    }

    fn end(&self, state: u8) {
        self.state.store(state, Ordering::Release);
        self.over.notify_one();
    }
}

impl Flowing {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        if polled.is_pending() {
            self.progress.wait_for(AT_CALLER);
        }
        let Some(frame) = ready!(polled) else {
            self.progress.end(DONE);
            return Poll::Ready(None);
        };
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => {
                self.progress.end(BROKEN);
                return Poll::Ready(Some(Err(UploadError::Caller(error))));
            }
        };
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        let Some(left) = self.left.checked_sub(length) else {
            self.progress.end(TOO_LARGE);
            return Poll::Ready(Some(Err(UploadError::TooLarge)));
        };
        self.left = left;
        self.progress.parts.fetch_add(1, Ordering::Relaxed);
        if self.incoming.is_end_stream() {
            self.progress.end(DONE);
        } else {
            self.progress.wait_for(AT_BACKEND);
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
            Some(flowing) => flowing.poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|flowing| flowing.incoming.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Some(flowing) => flowing.incoming.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}
