//! Shutdown signals: SIGTERM from a service manager, SIGINT from a terminal. SIGHUP comes from a
//! terminal that was closed, which ends a foreground cluster; a service manager or an operator sends it
//! to a daemon to have it read its configuration again, and an agent ignores it.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::telemetry::logs;

/// Exit code after a second signal: 128 plus the number of SIGINT.
const FORCED_EXIT_CODE: i32 = 130;

/// Shutdown requests that the process has received.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Cancelled by the first signal: shut down gracefully.
    pub graceful: CancellationToken,
    /// Cancelled by the second signal: stop waiting.
    pub forced: CancellationToken,
}

/// Effect of SIGHUP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hangup {
    /// Requests a shutdown, like SIGINT.
    ShutsDown,
    /// Is logged and ignored.
    Ignored,
}

/// Starts listening for the signals.
///
/// # Errors
/// If a signal handler cannot be installed.
pub fn listen(on_hangup: Hangup) -> io::Result<Shutdown> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let shutdown = Shutdown::default();
    let tokens = [shutdown.graceful.clone(), shutdown.forced.clone()];
    tokio::spawn(async move {
        for token in tokens {
            let hung_up = async {
                while hangup.recv().await.is_some() && on_hangup == Hangup::Ignored {
                    tracing::info!("SIGHUP ignored; restart the agent to read its configuration");
                }
            };
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                () = hung_up => {}
            }
            logs::shutting_down();
            token.cancel();
        }
    });
    Ok(shutdown)
}

impl Shutdown {
    /// Exits the process immediately when the second signal arrives.
    pub fn exit_on_second_signal(&self) {
        let forced = self.forced.clone();
        tokio::spawn(async move {
            forced.cancelled().await;
            std::process::exit(FORCED_EXIT_CODE);
        });
    }
}
