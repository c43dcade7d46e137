//! Exit codes, and messages on standard error. Every command that fails prints a line of cause and
//! a line of next step.
//!
//! The exit codes are an interface: their meanings do not change. [`CODES`] documents them.

use std::fmt::Arguments;
use std::io::{self, Write};
use std::process::ExitCode;

/// The command succeeded. A change that was acknowledged succeeded even if its result could not be
/// printed.
pub const DONE: u8 = 0;
/// A rule, the user, or the machine refused; nothing was changed.
pub const REFUSED: u8 = 1;
/// The arguments, the configuration or a field of the request are invalid.
pub const USAGE: u8 = 2;
/// The service is not at the expected revision; nothing was changed.
pub const CONFLICT: u8 = 3;
/// No agent is reachable, or there is no quorum; the change was not submitted.
pub const UNAVAILABLE: u8 = 4;
/// The change may have happened: no response arrived.
pub const UNKNOWN: u8 = 5;
/// The change was accepted, and its effect was not observed within `--wait-timeout` or before Ctrl-C.
pub const NOT_CONVERGED: u8 = 6;
/// `status --check`: the cluster is degraded.
pub const DEGRADED: u8 = 10;
/// `status --check`: no region of some service serves clients, or the cluster accepts no changes.
pub const CRITICAL: u8 = 11;
/// Interrupted by Ctrl-C: 128 plus the number of SIGINT.
pub const INTERRUPTED: u8 = 130;

/// Exit codes with their meanings, as `meridian --help` lists them.
pub const CODES: [(u8, &str); 10] = [
    (DONE, "done"),
    (REFUSED, "refused; nothing was changed"),
    (USAGE, "invalid usage"),
    (CONFLICT, "conflict with the expected revision; nothing was changed"),
    (UNAVAILABLE, "no agent reachable or no quorum; the change was not submitted"),
    (UNKNOWN, "outcome unknown; the error message has the command that retries"),
    (NOT_CONVERGED, "accepted, but not converged within --wait-timeout or before Ctrl-C"),
    (DEGRADED, "status --check: degraded"),
    (CRITICAL, "status --check: no region of a service serves, or changes are refused"),
    (INTERRUPTED, "interrupted with Ctrl-C"),
];

/// Prints an error and the next step.
pub fn report(cause: &str, next: &str) {
    message(format_args!("{ERROR}error:{ERROR:#} {}", one_line(cause)));
    message(format_args!("{NEXT}next:{NEXT:#} {}", one_line(next)));
}

/// Prints a note and the next step.
pub fn note(cause: &str, next: &str) {
    message(format_args!("{NOTE}note:{NOTE:#} {}", one_line(cause)));
    message(format_args!("{NEXT}next:{NEXT:#} {}", one_line(next)));
}

/// Prints a line to standard error. A standard error that cannot be written changes no outcome.
pub fn message(line: Arguments<'_>) {
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// Prints data to standard output and returns the exit code. A closed pipe is not a failure.
pub fn print(data: &[u8]) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(data).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let cause = format!("cannot write to standard output: {error}");
            report(&cause, "check where standard output goes");
            ExitCode::from(REFUSED)
        }
        Ok(()) | Err(_) => ExitCode::from(DONE),
    }
}

const NOTE: anstyle::Style = anstyle::AnsiColor::Yellow.on_default().bold();
const ERROR: anstyle::Style = anstyle::AnsiColor::Red.on_default().bold();
const NEXT: anstyle::Style = anstyle::AnsiColor::Cyan.on_default().bold();

/// Replaces line breaks and control characters: messages may contain text from other programs.
fn one_line(text: &str) -> String {
    let visible: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    visible.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_without_control_characters() {
        assert_eq!(one_line("two\nlines\u{1b}[2J"), "two lines [2J");
    }
}
