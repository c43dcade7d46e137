//! How every command of the binary ends that did not do what was asked: one line of cause, one line of
//! next step, and an exit code. The codes are an interface; they never change their meaning.
//!
//! | code | meaning |
//! | --- | --- |
//! | 0 | done |
//! | 1 | refused by a rule, or by the person who was asked |
//! | 2 | wrong usage; also a field that the server finds malformed |
//! | 3 | conflict with an expected revision |
//! | 4 | nobody reachable or no majority, and certainly nothing proposed |
//! | 5 | outcome unknown, or done and not converged while `--wait` waited |
//! | 130 | interrupted while following events |

/// What was asked for is done.
pub const DONE: u8 = 0;
/// A rule refuses, or the person who was asked, or the machine.
pub const REFUSED: u8 = 1;
/// Arguments, configuration or fields that cannot be meant.
pub const USAGE: u8 = 2;
/// The service was changed since the expected revision.
pub const CONFLICT: u8 = 3;
/// Nobody could take it; certainly nothing was proposed.
pub const UNAVAILABLE: u8 = 4;
/// It may have happened, or its effect was not seen in time.
pub const UNKNOWN: u8 = 5;
/// The person at the keyboard has seen enough: 128 and the number of SIGINT.
pub const INTERRUPTED: u8 = 130;

/// Prints a line of cause and a line of next step to standard error.
pub fn report(cause: &str, next: &str) {
    anstream::eprintln!("{ERROR}error:{ERROR:#} {}", one_line(cause));
    anstream::eprintln!("{NEXT}next:{NEXT:#} {}", one_line(next));
}

/// Prints a line of what is still to come and a line of next step to standard error.
pub fn note(cause: &str, next: &str) {
    anstream::eprintln!("{NOTE}note:{NOTE:#} {}", one_line(cause));
    anstream::eprintln!("{NEXT}next:{NEXT:#} {}", one_line(next));
}

const NOTE: anstyle::Style = anstyle::AnsiColor::Yellow.on_default().bold();
const ERROR: anstyle::Style = anstyle::AnsiColor::Red.on_default().bold();
const NEXT: anstyle::Style = anstyle::AnsiColor::Cyan.on_default().bold();

/// What other programs say may have line breaks and control characters; here it has one line.
fn one_line(text: &str) -> String {
    let visible: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    visible.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_fits_on_one_line_and_moves_no_cursor() {
        assert_eq!(one_line("two\nlines\u{1b}[2J"), "two lines [2J");
    }
}
