//! One watch: a cursor into the event log that produces one frame after the other.
//!
//! Nothing is buffered: the next frame is read when the connection has capacity for it, so a slow
//! reader slows only itself. Notifications only wake the watch; it reads the events from the log at
//! its cursor, so there are no gaps and no duplicates, whatever happens to the node.

use std::time::Duration;

use futures::stream::{self, Stream};
use meridian_domain::{EventRecord, Revision};
use meridian_ports::{Consistency, HistoryError};
use meridian_proto::convert::time;
use meridian_proto::v1;
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep_until};
use tonic::Status;

use super::EventsApi;
use crate::error::Error;
use crate::{Ports, read};

/// Maximum number of events in a frame.
const FRAME_EVENTS: usize = 256;

pub(super) struct Watch {
    ports: Ports,
    latest: Receiver<Revision>,
    stopping: Receiver<bool>,
    idle: Duration,
    follow: bool,
    /// Next event to send; `None` after the maximum revision.
    cursor: Option<Revision>,
    /// The watch has caught up once the cursor is past this revision.
    target: Revision,
    progress: Progress,
    /// Time of the next idle frame.
    due: Instant,
}

/// Progress of a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    CatchingUp,
    CaughtUp,
    Ended,
}

/// Reason for a watch to wake up.
enum Wake {
    NewEvents,
    Idle,
    Shutdown,
}

impl Watch {
    pub(super) async fn start(
        api: &EventsApi,
        request: &v1::WatchRequest,
        deadline: Instant,
    ) -> Result<Self, Error> {
        let consistency = read::consistency(request.consistency)?;
        let ports = api.ports.clone();
        let latest = ports.history.latest();
        let point = ports.read.read(consistency, deadline).await?;
        let from = match request.from {
            0 => ports.read.state().header.trimmed.next(),
            from => Revision(from),
        };
        let before = Revision(from.0 - 1);
        let target = match consistency {
            Consistency::Linearizable => point.revision,
            // A client that starts after the last event of this node has seen newer events
            // elsewhere: the node has to catch up first.
            Consistency::Stale if request.follow => point.revision.max(before),
            Consistency::Stale => point.revision,
        };
        let watch = Self {
            latest,
            stopping: api.stopping.clone(),
            idle: api.idle,
            follow: request.follow,
            cursor: Some(from),
            target,
            progress: Progress::CatchingUp,
            due: Instant::now() + api.idle,
            ports,
        };
        watch.check_trimmed(from)?;
        Ok(watch)
    }

    /// Fails a watch from a trimmed revision before its stream starts.
    fn check_trimmed(&self, from: Revision) -> Result<(), HistoryError> {
        self.ports.history.events(from, 1).map(|_| ())
    }

    /// Returns the frames up to the end of the watch or the error that ends it.
    pub(super) fn frames(self) -> impl Stream<Item = Result<v1::WatchResponse, Status>> + Send {
        stream::unfold(self, |mut watch| async {
            if watch.progress == Progress::Ended {
                return None;
            }
            let frame = watch.next().await.map_err(Status::from);
            if frame.is_err() {
                watch.progress = Progress::Ended;
            }
            Some((frame, watch))
        })
    }

    async fn next(&mut self) -> Result<v1::WatchResponse, Error> {
        loop {
            if *self.stopping.borrow() {
                return Err(Error::ShuttingDown);
            }
            // Marked as seen before the log is read: an event in between wakes the watch again.
            let latest = *self.latest.borrow_and_update();
            let events = self.read(latest)?;
            if !events.is_empty() {
                return Ok(self.frame(latest, &events).await);
            }
            if self.progress == Progress::CatchingUp && self.is_past_target() {
                return Ok(self.caught_up(latest).await);
            }
            match self.wait().await {
                Wake::NewEvents => {}
                Wake::Idle => return Ok(self.frame(latest, &[]).await),
                Wake::Shutdown => return Err(Error::ShuttingDown),
            }
        }
    }

    /// Reads the events at the cursor and moves the cursor past them.
    fn read(&mut self, latest: Revision) -> Result<Vec<EventRecord>, Error> {
        let end = if self.follow { latest } else { latest.min(self.target) };
        let Some(cursor) = self.cursor.filter(|cursor| *cursor <= end) else {
            return Ok(Vec::new());
        };
        let left =
            usize::try_from(end.0 - cursor.0).map_or(usize::MAX, |left| left.saturating_add(1));
        let events = self.ports.history.events(cursor, left.min(FRAME_EVENTS))?;
        for (event, wanted) in events.iter().zip(cursor.0..) {
            if event.revision.0 != wanted {
                return Err(Error::Gap { wanted, found: event.revision.0 });
            }
        }
        if let Some(last) = events.last() {
            self.cursor = last.revision.0.checked_add(1).map(Revision);
        }
        Ok(events)
    }

    fn is_past_target(&self) -> bool {
        self.cursor.is_none_or(|cursor| cursor > self.target)
            && *self.latest.borrow() >= self.target
    }

    async fn caught_up(&mut self, latest: Revision) -> v1::WatchResponse {
        self.progress = if self.follow { Progress::CaughtUp } else { Progress::Ended };
        v1::WatchResponse { caught_up: true, ..self.frame(latest, &[]).await }
    }

    async fn frame(&mut self, latest: Revision, events: &[EventRecord]) -> v1::WatchResponse {
        self.due = Instant::now() + self.idle;
        // A stale read does not wait; it only returns the age of the last contact.
        let read = self.ports.read.read(Consistency::Stale, Instant::now()).await;
        let contact = read.ok().and_then(|point| point.leader_contact);
        v1::WatchResponse {
            events: events.iter().map(v1::Event::from).collect(),
            revision: latest.0,
            caught_up: false,
            leader_contact: contact.map(time::duration),
        }
    }

    async fn wait(&mut self) -> Wake {
        tokio::select! {
            changed = self.latest.changed() => match changed {
                Ok(()) => Wake::NewEvents,
                Err(_) => Wake::Shutdown,
            },
            // The sender is dropped only with the server.
            _ = self.stopping.wait_for(|stopping| *stopping) => Wake::Shutdown,
            () = sleep_until(self.due) => Wake::Idle,
        }
    }
}
