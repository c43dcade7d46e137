//! Output of `meridian dev`: lines that a closed reader cannot crash, and a header that stays at the top
//! of the terminal while events scroll below it.

use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::tcgetwinsize;
use tokio::signal::unix::{SignalKind, signal};

/// Minimum number of rows below a pinned header.
const MIN_ROWS_BELOW: usize = 8;
/// Interval of checks for the reader of standard output.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Prints a line of data to standard output. Errors are ignored: [`reader_closed`] reports them.
pub fn data(line: &str) {
    let _ = writeln!(anstream::stdout(), "{line}").and_then(|()| anstream::stdout().flush());
}

/// Prints a line for people to standard error. Errors are ignored: the reader may have gone.
pub fn note(line: &str) {
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// Returns once the reader of standard output has closed its end, as `head` does. Cancel-safe.
pub async fn reader_closed() {
    let stdout = io::stdout();
    let no_wait = Timespec { tv_sec: 0, tv_nsec: 0 };
    loop {
        // A pipe without a reader reports an error even if no event is requested (poll(2)).
        let mut descriptors = [PollFd::new(&stdout, PollFlags::empty())];
        let polled = poll(&mut descriptors, Some(&no_wait));
        if polled.is_ok() && descriptors[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) {
            return;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// A header. On a terminal with enough rows and columns, it stays at the top and everything else
/// scrolls below it (DECSTBM); elsewhere it is printed once. Dropping it releases the terminal.
#[derive(Debug)]
pub struct Header {
    text: Mutex<String>,
    is_terminal: bool,
}

impl Header {
    /// Prints the header.
    #[must_use]
    pub fn show(text: String) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        let is_terminal = !dumb && io::stdout().is_terminal() && io::stderr().is_terminal();
        let header = Self { text: Mutex::new(text), is_terminal };
        header.draw();
        header
    }

    /// Replaces the text. Takes effect on a terminal only.
    pub fn update(&self, text: String) {
        let rows = self.pinned_rows(&text);
        *self.text.lock().expect("no holder of this lock panics") = text;
        if rows.is_some() {
            let lines = self.lines();
            // Saves the cursor, draws from the top, restores the cursor.
            write_raw(&format!("\x1b7\x1b[H{lines}\x1b8"));
        }
    }

    /// Draws the header again whenever the size of the terminal changes. Does not return.
    pub async fn follow_resizes(&self) {
        if let (true, Ok(mut changes)) = (self.is_terminal, signal(SignalKind::window_change())) {
            while changes.recv().await.is_some() {
                self.draw();
            }
        }
        std::future::pending().await
    }

    fn draw(&self) {
        let text = self.text.lock().expect("no holder of this lock panics").clone();
        let Some(rows) = self.pinned_rows(&text) else {
            return data(text.trim_end());
        };
        let first = text.lines().count() + 1;
        let (lines, scroll) = (self.lines(), "\n".repeat(rows));
        // Resets the scroll region, scrolls what is on the screen into the scrollback, draws the header
        // at the top, and makes the rows below it the scroll region.
        write_raw(&format!(
            "\x1b[r\x1b[{rows};1H{scroll}\x1b[H{lines}\x1b[{first};{rows}r\x1b[{first};1H"
        ));
    }

    fn lines(&self) -> String {
        let text = self.text.lock().expect("no holder of this lock panics");
        text.lines().map(|line| format!("\x1b[2K{line}\r\n")).collect()
    }

    /// Returns the number of rows of the terminal if the header fits at its top.
    fn pinned_rows(&self, text: &str) -> Option<usize> {
        let size = self.is_terminal.then(|| tcgetwinsize(io::stdout()).ok())??;
        let (rows, columns) = (usize::from(size.ws_row), usize::from(size.ws_col));
        fits(text, rows, columns).then_some(rows)
    }
}

/// True if a header leaves room for events on a terminal of this size.
pub(super) fn fits(text: &str, rows: usize, columns: usize) -> bool {
    text.lines().count() + MIN_ROWS_BELOW <= rows
        && text.lines().all(|line| line.chars().count() <= columns)
}

impl Drop for Header {
    fn drop(&mut self) {
        let text = self.text.lock().expect("no holder of this lock panics").clone();
        if let Some(rows) = self.pinned_rows(&text) {
            write_raw(&format!("\x1b[r\x1b[{rows};1H"));
        }
    }
}

fn write_raw(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_pinned_only_if_it_fits_with_rows_to_spare() {
        let text = format!("{}\ntwo\n", "x".repeat(80));
        assert!(fits(&text, 10, 80));
        assert!(!fits(&text, 9, 80));
        assert!(!fits(&text, 10, 79));
    }
}
