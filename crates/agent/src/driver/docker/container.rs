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

use super::engine::{ContainerExit, Engine};
use crate::driver::ExitStatus;
use crate::driver::controlled::Instance;
use crate::driver::output_tail::last_line;
use crate::driver::units::Units;

/// Delay between requests to an engine that does not respond.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Exit codes above this mean death by a signal: the engine adds the signal's number to it.
const SIGNAL_BASE: i64 = 128;
const MAX_SIGNAL: i64 = 64;

/// The container of a unit.
#[derive(Debug)]
pub(super) struct Container {
    engine: Arc<Engine>,
    id: String,
    is_new: bool,
    /// The listening socket that the unit waits for, and the path of the socket at which it waits.
    /// A weak reference: once no unit should serve on it anymore, nothing may hold it.
    pending_listener: Option<(Weak<TcpListener>, PathBuf)>,
    exit: AbortOnDropHandle<ExitStatus>,
}

impl Container {
    /// Returns a container that was just started, and waits at `at` for `listener`.
    pub(super) fn started(
        engine: &Arc<Engine>,
        id: String,
        listener: &Arc<TcpListener>,
        at: PathBuf,
    ) -> Self {
        let pending_listener = Some((Arc::downgrade(listener), at));
        Self { is_new: true, pending_listener, ..Self::adopted(engine, id) }
    }

    /// Returns a container of an earlier process run.
    pub(super) fn adopted(engine: &Arc<Engine>, id: String) -> Self {
        let exit = tokio::spawn(wait_for_exit(Arc::clone(engine), id.clone()));
        let exit = AbortOnDropHandle::new(exit);
        Self { engine: Arc::clone(engine), id, is_new: false, pending_listener: None, exit }
    }
}

impl Instance for Container {
    fn is_new(&self) -> bool {
        self.is_new
    }

    async fn prepare(&mut self) -> io::Result<()> {
        let Some((listener, at)) = &self.pending_listener else { return Ok(()) };
        let Some(listener) = listener.upgrade() else {
            // The unit was stopped before it received its socket.
            self.kill().await;
            return Err(io::Error::other("the listening socket is closed"));
        };
        // A file descriptor is sent with at least one byte of data.
        let stream = UnixStream::connect(at).await?;
        let send = || fd_passing::send(&stream, &[0], &listener);
        stream.async_io(Interest::WRITABLE, send).await?;
        self.pending_listener = None;
        Ok(())
    }

    async fn exited(&mut self) -> ExitStatus {
        (&mut self.exit).await.unwrap_or(ExitStatus::Unknown)
    }

    fn has_exited(&self, _: impl Fn() -> bool) -> bool {
        false
    }

    fn switch_to_lock_holder(&mut self) -> bool {
        false
    }

    async fn kill(&mut self) {
        if let Err(error) = self.engine.kill(&self.id).await {
            tracing::warn!(id = self.id, %error, "cannot kill the container");
        }
    }

    async fn output_tail(&self, _: &Units, incarnation: Incarnation) -> Option<String> {
        match self.engine.log_tail(&self.id).await {
            Ok(lines) => last_line(&lines),
            Err(error) => {
                tracing::warn!(%incarnation, %error, "cannot read the container's log");
                None
            }
        }
    }

    async fn remove(&mut self) {
        while let Err(error) = self.engine.remove(&self.id).await {
            tracing::warn!(id = self.id, %error, "cannot remove the container; retrying");
            sleep(RETRY_DELAY).await;
        }
    }
}

/// Returns once a container has exited. Retries while the engine does not respond.
async fn wait_for_exit(engine: Arc<Engine>, id: String) -> ExitStatus {
    loop {
        match engine.wait(&id).await {
            Ok(Some(exit)) => return status(exit),
            Ok(None) => return ExitStatus::Unknown,
            Err(error) => tracing::debug!(id, %error, "cannot wait for the container; retrying"),
        }
        sleep(RETRY_DELAY).await;
    }
}

fn status(ContainerExit { code, out_of_memory }: ContainerExit) -> ExitStatus {
    let number = |value: i64| i32::try_from(value).unwrap_or(i32::MAX);
    if out_of_memory {
        ExitStatus::OutOfMemory
    } else if (SIGNAL_BASE + 1..=SIGNAL_BASE + MAX_SIGNAL).contains(&code) {
        ExitStatus::Signal(number(code - SIGNAL_BASE))
    } else {
        ExitStatus::Code(number(code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_status_of_a_container_is_that_of_its_process() {
        let of = |code, out_of_memory| status(ContainerExit { code, out_of_memory });
        assert_eq!(of(3, false), ExitStatus::Code(3));
        assert_eq!(of(137, false), ExitStatus::Signal(9));
        assert_eq!(of(137, true), ExitStatus::OutOfMemory);
        assert_eq!(of(255, false), ExitStatus::Code(255));
    }
}
