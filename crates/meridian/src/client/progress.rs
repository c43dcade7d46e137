//! Progress of a wait, as one line of a terminal that is redrawn.

use std::io::{self, IsTerminal, Write};

use tokio::time::Instant;

use super::elapsed::elapsed;
use crate::exit;

/// Maximum length of the line: a longer one would wrap, and could not be redrawn.
const MAX_CHARS: usize = 78;

/// Progress line on standard error. Draws nothing if that is not a terminal.
#[derive(Debug)]
pub struct Progress {
    started: Instant,
    is_terminal: bool,
    is_drawn: bool,
}

impl Progress {
    /// Starts the clock of a wait.
    pub fn start() -> Self {
        let is_terminal = io::stderr().is_terminal();
        Self { started: Instant::now(), is_terminal, is_drawn: false }
    }

    /// Draws what is missing, with the time since the start.
    pub fn draw(&mut self, missing: &str) {
        if !self.is_terminal {
            return;
        }
        let _ = write!(io::stderr(), "\r\x1b[K{}", line(missing, &self.elapsed()));
        let _ = io::stderr().flush();
        self.is_drawn = true;
    }

    /// Prints a note above the progress line.
    pub fn note(&mut self, cause: &str, next: &str) {
        self.clear();
        exit::note(cause, next);
    }

    /// Removes the progress line.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.is_drawn) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }

    /// Time since the start.
    pub fn elapsed(&self) -> String {
        elapsed(self.started.elapsed())
    }
}

/// `eastus 1/2 ready, 3.0 s`, cut to the width of a terminal.
fn line(missing: &str, elapsed: &str) -> String {
    let allowed = MAX_CHARS.saturating_sub(elapsed.len() + 2);
    let cut = missing.char_indices().nth(allowed).map_or(missing, |(end, _)| &missing[..end]);
    format!("{cut}, {elapsed}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_progress_line_fits_a_terminal() {
        assert_eq!(line("eastus 1/2 ready", "3.0 s"), "eastus 1/2 ready, 3.0 s");
        let long = line(&"eastus 1/2 ready, ".repeat(9), "3.0 s");
        assert_eq!(long.chars().count(), MAX_CHARS);
        assert!(long.ends_with(", 3.0 s"));
    }
}
