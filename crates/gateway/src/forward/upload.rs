//! The body of a call, on its way from the caller to the backend.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::Notify;
use tokio::time::sleep;

const AT_BACKEND: u8 = 0;
const AT_CALLER: u8 = 1;
const DONE: u8 = 2;

/// The body of a call. Default: none.
#[derive(Debug, Default)]
pub(crate) struct Upload(Option<(Incoming, Arc<Progress>)>);

/// How far an upload is.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// For whom it waits, or that it is over.
    state: AtomicU8,
    /// What was forwarded; wraps.
    parts: AtomicU32,
    over: Notify,
}

/// For whom an upload waited too long.
#[derive(Debug)]
pub(super) enum Stalled {
    Caller,
    Backend,
}

impl Upload {
    /// `incoming` as what is sent, and how to watch it, unless it is empty.
    pub(super) fn new(incoming: Incoming) -> (Self, Option<Arc<Progress>>) {
        if incoming.is_end_stream() {
            return (Self(None), None);
        }
        let progress = Arc::new(Progress::default());
        (Self(Some((incoming, Arc::clone(&progress)))), Some(progress))
    }
}

impl Progress {
    /// Whether all of the body was forwarded.
    pub(super) fn is_over(&self) -> bool {
        self.state.load(Ordering::Acquire) == DONE
    }

    /// Returns when all was forwarded, or when there was no progress for `idle`.
    pub(super) async fn uploaded(&self, idle: Duration) -> Result<(), Stalled> {
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
                AT_CALLER => return Err(Stalled::Caller),
                DONE => return Ok(()),
                _ => return Err(Stalled::Backend),
            }
        }
    }

    fn set(&self, state: u8) {
        self.state.store(state, Ordering::Release);
        if state == DONE {
            self.over.notify_one();
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some((incoming, progress)) = &mut self.0 else { return Poll::Ready(None) };
        let polled = Pin::new(&mut *incoming).poll_frame(cx);
        if polled.is_pending() {
            progress.set(AT_CALLER);
        }
        let frame = ready!(polled);
        progress.parts.fetch_add(1, Ordering::Relaxed);
        let over = frame.is_none() || incoming.is_end_stream();
        progress.set(if over { DONE } else { AT_BACKEND });
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|(incoming, _)| incoming.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Some((incoming, _)) => incoming.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}
