//! When a process is told to stop: by SIGTERM from a service manager, by SIGINT from a terminal, by
//! SIGHUP from a terminal that goes away.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit code of a process that was told twice: 128 and the number of SIGINT.
const IMPATIENT: i32 = 130;

/// What a process was told.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// Cancelled by the first signal: stop in order.
    pub once: CancellationToken,
    /// Cancelled by the second: do not wait any more.
    pub twice: CancellationToken,
}

/// Listens for the signals from now on.
///
/// # Errors
/// If they cannot be received.
pub fn listen() -> io::Result<Told> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let told = Told::default();
    let tokens = [told.once.clone(), told.twice.clone()];
    tokio::spawn(async move {
        for token in tokens {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hangup.recv() => {}
            }
            token.cancel();
        }
    });
    Ok(told)
}

impl Told {
    /// Ends the process, as it is, when it is told twice.
    pub fn exit_when_told_twice(&self) {
        let twice = self.twice.clone();
        tokio::spawn(async move {
            twice.cancelled().await;
            std::process::exit(IMPATIENT);
        });
    }
}
