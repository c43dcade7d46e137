//! Faults of usage in Meridian's own form: a line of cause and a line of next step.

use std::process::ExitCode;

use clap::error::ErrorKind;

use crate::exit;

/// Prints what `clap` found in the arguments of the command `named`, and returns the code to exit
/// with. Help and the version, when asked for, go to standard output and are no fault.
pub(super) fn report(error: &clap::Error, named: &str) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // A reader that has seen enough closes the pipe; that is no fault.
            let _ = error.print();
            ExitCode::from(if error.use_stderr() { exit::USAGE } else { exit::DONE })
        }
        _ => {
            let (cause, next) = two_lines(&error.render().to_string(), named);
            exit::report(&cause, &next);
            ExitCode::from(exit::USAGE)
        }
    }
}

/// Cuts the paragraphs that `clap` prints down to a cause, with its tips, and a next step. Where a
/// value is bad, they do not say which command it was for.
fn two_lines(rendered: &str, named: &str) -> (String, String) {
    let mut cause = Vec::new();
    let mut next = format!("{named} --help");
    for paragraph in rendered.split("\n\n") {
        let line = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(usage) = line.strip_prefix("Usage: ") {
            let words = usage.split(' ').take_while(|word| word.starts_with(char::is_alphabetic));
            next = format!("{} --help", words.collect::<Vec<_>>().join(" "));
        } else if !line.is_empty() && !line.starts_with("For more information") {
            cause.push(line.strip_prefix("error: ").unwrap_or(&line).to_owned());
        }
    }
    (cause.join("; "), format!("see `{next}`"))
}

/// The two lines that are printed for arguments behind the program's name.
#[cfg(test)]
pub(super) fn lines(words: &[&str]) -> (String, String) {
    use clap::{CommandFactory, Parser};

    use super::{Cli, arguments};

    let words: Vec<_> = ["meridian"].iter().chain(words).map(std::ffi::OsString::from).collect();
    let named = arguments::named_command(&Cli::command(), &words);
    let error = Cli::try_parse_from(words).expect_err("is wrong usage");
    two_lines(&error.render().to_string(), &named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_argument_is_named_on_one_line() {
        let (cause, next) = lines(&["region", "add"]);
        assert_eq!(cause, "the following required arguments were not provided: <REGION>");
        assert_eq!(next, "see `meridian region add --help`");
    }

    #[test]
    fn a_misspelt_flag_comes_with_the_nearest_one() {
        let (cause, _) = lines(&["status", "--timout", "3"]);
        assert!(cause.contains("--timout") && cause.contains("--timeout"), "{cause}");
        assert!(!cause.contains('\n'));
    }
}
