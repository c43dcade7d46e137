//! Asking before something is taken away.

use std::io::{self, BufRead, IsTerminal, Write};

use super::failure::Failure;
use super::session::Session;

/// Asks a person whether to go on, where there is one.
///
/// `--yes` and `--dry-run` answer for them. Without a terminal nobody can answer, so the command is
/// refused rather than guessed.
///
/// # Errors
/// If there is nobody to ask, or if they do not agree.
pub fn confirm(session: &Session, what: &str) -> Result<(), Failure> {
    if session.global.yes || session.global.dry_run {
        return Ok(());
    }
    if !is_asked(session) {
        return Err(Failure::Usage {
            cause: format!("this would {what}, and there is no terminal to ask on"),
            next: "add --yes to do it without being asked, or --dry-run to see what would happen"
                .to_owned(),
        });
    }
    let mut answer = String::new();
    let asked = write!(io::stderr(), "This would {what}. Go on? [y/N] ")
        .and_then(|()| io::stdin().lock().read_line(&mut answer));
    let agreed = asked.is_ok() && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes");
    session.caller.restart_clock();
    if agreed {
        Ok(())
    } else {
        Err(Failure::Refused {
            cause: "not confirmed, so nothing was changed".to_owned(),
            next: "run it again and answer y, or add --yes".to_owned(),
        })
    }
}

/// Whether there is a person who is asked.
pub fn is_asked(session: &Session) -> bool {
    let answered = session.global.yes || session.global.dry_run;
    !answered && io::stdin().is_terminal() && io::stderr().is_terminal()
}
