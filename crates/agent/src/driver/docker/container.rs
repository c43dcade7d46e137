//! A unit as a container.

use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use meridian_domain::Incarnation;
use meridian_proto::fd_passing;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::engine::{Ended, Engine};
use crate::driver::ExitStatus;
use crate::driver::controlled::Body;
use crate::driver::last_words::last_line;
use crate::driver::units::Units;

/// Between two attempts to learn how a container ended, from an engine that does not answer.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Codes above this say that a signal ended the process (the engine adds this to its number).
const SIGNALS: i64 = 128;
const MOST_SIGNAL: i64 = 64;

/// The container of a unit.
#[derive(Debug)]
pub(super) struct Container {
    engine: Arc<Engine>,
    id: String,
    is_new: bool,
    /// The listening socket that it waits for, and where. Not kept alive by this: once no unit is to
    /// serve there any more, nobody may hold it.
    waits_for: Option<(Weak<TcpListener>, PathBuf)>,
    end: AbortOnDropHandle<ExitStatus>,
}

impl Container {
    /// One that was just started, and waits at `at` for `listener`.
    pub(super) fn started(
        engine: &Arc<Engine>,
        id: String,
        listener: &Arc<TcpListener>,
        at: PathBuf,
    ) -> Self {
        let waits_for = Some((Arc::downgrade(listener), at));
        Self { is_new: true, waits_for, ..Self::found(engine, id) }
    }

    /// One of an earlier life.
    pub(super) fn found(engine: &Arc<Engine>, id: String) -> Self {
        let end = tokio::spawn(end_of(Arc::clone(engine), id.clone()));
        let end = AbortOnDropHandle::new(end);
        Self { engine: Arc::clone(engine), id, is_new: false, waits_for: None, end }
    }
}

impl Body for Container {
    fn is_new(&self) -> bool {
        self.is_new
    }

    async fn prepare(&mut self) -> io::Result<()> {
        let Some((listener, at)) = &self.waits_for else { return Ok(()) };
        let Some(listener) = listener.upgrade() else {
            // It was stopped before it had anything to serve on.
            self.kill().await;
            return Err(io::Error::other("its listening socket is closed"));
        };
        // One byte, because a descriptor does not travel alone.
        let stream = UnixStream::connect(at).await?;
        let send = || fd_passing::send(&stream, &[0], &listener);
        stream.async_io(Interest::WRITABLE, send).await?;
        self.waits_for = None;
        Ok(())
    }

    async fn ended(&mut self) -> ExitStatus {
        (&mut self.end).await.unwrap_or(ExitStatus::Unknown)
    }

    fn is_gone(&self, _: impl Fn() -> bool) -> bool {
        false
    }

    fn is_displaced(&mut self) -> bool {
        false
    }

    async fn kill(&mut self) {
        if let Err(error) = self.engine.kill(&self.id).await {
            tracing::warn!(id = self.id, %error, "a unit could not be killed");
        }
    }

    async fn last_words(&self, _: &Units, incarnation: Incarnation) -> Option<String> {
        match self.engine.last_lines(&self.id).await {
            Ok(lines) => last_line(&lines),
            Err(error) => {
                tracing::warn!(%incarnation, %error, "what it said last cannot be read");
                None
            }
        }
    }

    async fn remove(&mut self) {
        while let Err(error) = self.engine.remove(&self.id).await {
            tracing::warn!(id = self.id, %error, "a container that ended remains");
            sleep(RETRY_PAUSE).await;
        }
    }
}

/// Returns once a container has ended. Nothing follows from an engine that does not answer.
async fn end_of(engine: Arc<Engine>, id: String) -> ExitStatus {
    loop {
        match engine.ended(&id).await {
            Ok(Some(ended)) => return status(ended),
            Ok(None) => return ExitStatus::Unknown,
            Err(error) => tracing::debug!(id, %error, "it cannot be seen whether it has ended"),
        }
        sleep(RETRY_PAUSE).await;
    }
}

fn status(Ended { code, out_of_memory }: Ended) -> ExitStatus {
    let number = |value: i64| i32::try_from(value).unwrap_or(i32::MAX);
    if out_of_memory {
        ExitStatus::OutOfMemory
    } else if (SIGNALS + 1..=SIGNALS + MOST_SIGNAL).contains(&code) {
        ExitStatus::Signal(number(code - SIGNALS))
    } else {
        ExitStatus::Code(number(code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_container_ended_is_what_its_process_did() {
        let of = |code, out_of_memory| status(Ended { code, out_of_memory });
        assert_eq!(of(3, false), ExitStatus::Code(3));
        assert_eq!(of(137, false), ExitStatus::Signal(9));
        assert_eq!(of(137, true), ExitStatus::OutOfMemory);
        assert_eq!(of(255, false), ExitStatus::Code(255));
    }
}
