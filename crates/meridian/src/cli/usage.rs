//! Usage errors as a line of cause and a line of next step.

use std::process::ExitCode;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::suggest;
use crate::exit;

/// Prints an error of `clap` in the arguments of the command `named`, and returns the exit code.
/// Help and the version go to standard output if they were requested.
pub(super) fn report(root: &Command, error: &clap::Error, named: &str) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // A closed pipe is not a failure.
            let _ = error.print();
            ExitCode::from(if error.use_stderr() { exit::USAGE } else { exit::DONE })
        }
        _ => {
            let (cause, next) = lines(root, error, named);
            exit::report(&cause, &next);
            ExitCode::from(exit::USAGE)
        }
    }
}

/// Cause and next step of a usage error.
pub(super) fn lines(root: &Command, error: &clap::Error, named: &str) -> (String, String) {
    let given = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            if let Some(word) = given(ContextKind::InvalidSubcommand) {
                return suggest::for_command(root, named, word);
            }
        }
        ErrorKind::UnknownArgument => {
            let option = given(ContextKind::InvalidArg).filter(|text| text.starts_with('-'));
            if let Some(option) = option {
                return suggest::for_option(root, named, option);
            }
        }
        _ => {}
    }
    two_lines(&error.render().to_string(), named)
}

/// Reduces the paragraphs that `clap` prints to a cause, with its tips, and a next step. For an
/// invalid value, they do not name the command.
fn two_lines(rendered: &str, named: &str) -> (String, String) {
    let mut cause = Vec::new();
    let mut command = named.to_owned();
    for paragraph in rendered.split("\n\n") {
        let line = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(usage) = line.strip_prefix("Usage: ") {
            let words = usage.split(' ').take_while(|word| word.starts_with(char::is_alphabetic));
            command = words.collect::<Vec<_>>().join(" ");
        } else if !line.is_empty() && !line.starts_with("For more information") {
            cause.push(line.strip_prefix("error: ").unwrap_or(&line).to_owned());
        }
    }
    (cause.join("; "), suggest::see_help(&command))
}

#[cfg(test)]
mod tests {
    use crate::cli::parse;

    #[test]
    fn a_missing_argument_is_named_on_one_line() {
        let (cause, next) = parse::fails("region add");
        assert_eq!(cause, "the following required arguments were not provided: <REGION>");
        assert_eq!(next, "see `meridian region add --help`");
    }

    #[test]
    fn an_invalid_value_is_reported_with_the_help_of_its_command() {
        let (cause, next) = parse::fails("-o yaml region list");
        assert!(cause.contains("'yaml'") && cause.contains("table, wide, json"), "{cause}");
        assert!(!cause.contains('\n'));
        assert_eq!(next, "see `meridian region list --help`");
    }
}
