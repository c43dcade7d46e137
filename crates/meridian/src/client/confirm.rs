//! Confirmation of destructive commands.

use std::io::{self, BufRead, IsTerminal, Write};

use super::failure::Failure;
use super::session::Session;

/// Asks the user to confirm `what`.
///
/// `--yes` and `--dry-run` skip the question. Without a terminal, the command is refused.
///
/// # Errors
/// If there is no terminal, or the user does not confirm.
pub fn confirm(session: &Session, what: &str) -> Result<(), Failure> {
    if session.options.yes || session.options.dry_run {
        return Ok(());
    }
    let next = "add --yes to skip confirmation, or --dry-run to see what would happen";
    let confirmed = ask(what, next);
    session.client.restart_timeout();
    confirmed
}

/// Asks the user to confirm `what`. `next` is the next step where there is no terminal.
///
/// # Errors
/// If there is no terminal, or the user does not confirm.
pub fn ask(what: &str, next: &str) -> Result<(), Failure> {
    if !is_terminal() {
        return Err(Failure::Usage {
            cause: format!("this would {what}, and there is no terminal to confirm it"),
            next: next.to_owned(),
        });
    }
    let mut answer = String::new();
    let asked = write!(io::stderr(), "This will {what}. Continue? [y/N] ")
        .and_then(|()| io::stdin().lock().read_line(&mut answer));
    let confirmed = asked.is_ok() && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes");
    if confirmed {
        Ok(())
    } else {
        Err(Failure::Refused {
            cause: "not confirmed; nothing was changed".to_owned(),
            next: "run the command again and answer y, or add --yes".to_owned(),
        })
    }
}

/// True if the user has to be asked, and there is a terminal for it.
pub fn can_ask(session: &Session) -> bool {
    let skipped = session.options.yes || session.options.dry_run;
    !skipped && is_terminal()
}

fn is_terminal() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}
