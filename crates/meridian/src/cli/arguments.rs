//! Rearranges the arguments before `clap` parses them.
//!
//! - Options that precede the command move after it: `meridian -o json region list` becomes
//!   `meridian region list -o json`. So every command defines the options that it takes itself, and
//!   its help lists no others.
//! - `-REGION` among the edits of `region set` gets a placeholder for its hyphen. `clap` can accept
//!   values that begin with a hyphen, but then it also treats every option after the first of them
//!   as a value: `region set eastus=2 -westus --yes` would lose its `--yes`.

use std::ffi::OsString;

use clap::Command;

use super::count::MINUS;

/// Arguments in the order that `clap` expects.
pub(super) struct Arranged {
    /// The arguments, starting with the program's name.
    pub(super) arguments: Vec<OsString>,
    /// Path of the command that they name: `meridian region add`.
    pub(super) command: String,
}

/// Rearranges the arguments of a process, starting with the program's name. Nothing after `--`
/// changes.
///
/// In `region set`, an argument with two hyphens is an option, and so are `-h`, `-o` and
/// `-oFORMAT`. A region with such a name can be removed after `--`.
pub(super) fn arrange(root: &Command, raw: impl Iterator<Item = OsString>) -> Arranged {
    let mut raw = raw;
    let mut arranged: Vec<OsString> = raw.next().into_iter().collect();
    let mut path = vec![root.get_name()];
    let (mut command, mut options, mut rest) = (root, Vec::new(), Vec::new());
    let mut at_operands = false;
    let mut is_value = false;
    for argument in raw.by_ref() {
        let text = argument.to_str().unwrap_or_default();
        if std::mem::take(&mut is_value) {
            rest.push(argument);
        } else if text == "--" {
            rest.push(argument);
            break;
        } else if text.starts_with('-') {
            is_value = takes_value(root, text);
            let removed = Some(text).filter(|_| path[1..] == ["region", "set"]);
            match removed.and_then(removed_region) {
                Some(region) => rest.push(format!("{MINUS}{region}").into()),
                None => rest.push(argument),
            }
        } else if let Some(inner) = command.find_subcommand(text).filter(|_| !at_operands) {
            path.push(inner.get_name());
            arranged.push(argument);
            command = inner;
            options.append(&mut rest);
        } else {
            at_operands = true;
            rest.push(argument);
        }
    }
    arranged.extend(options.into_iter().chain(rest).chain(raw));
    Arranged { arguments: arranged, command: path.join(" ") }
}

/// True if `text` is an option of some command, and its value is the next argument. An option name
/// means the same in every command that has it.
fn takes_value(command: &Command, text: &str) -> bool {
    let mut options = command.get_arguments().filter(|arg| arg.get_action().takes_values());
    let is_named = options.any(|option| match text.strip_prefix("--") {
        Some(long) => option.get_long() == Some(long),
        None => {
            let mut short = text.chars().skip(1);
            option.get_short().is_some_and(|name| short.next() == Some(name))
                && short.next().is_none()
        }
    });
    is_named || command.get_subcommands().any(|inner| takes_value(inner, text))
}

/// The region of `-REGION`; `None` if the argument is an option.
fn removed_region(text: &str) -> Option<&str> {
    let region = text.strip_prefix('-')?;
    let option =
        matches!(region, "h" | "o" | "otable" | "ojson" | "owide") || region.starts_with("o=");
    (!option && region.starts_with(|c: char| c.is_ascii_alphabetic())).then_some(region)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cli::Cli;

    fn arranged(line: &[&str]) -> Vec<String> {
        let raw = line.iter().map(OsString::from);
        let arguments = arrange(&Cli::definition(), raw).arguments;
        arguments.into_iter().map(|argument| argument.into_string().expect("is text")).collect()
    }

    #[test]
    fn the_command_is_found_among_options_and_operands() {
        for (line, named) in [
            ("m", "meridian"),
            ("m --timeout x", "meridian"),
            ("m --service region unit list", "meridian unit list"),
            ("m cluster --yes limits set --voters two", "meridian cluster limits set"),
            ("m region add set --units x", "meridian region add"),
            ("m services ls", "meridian service list"),
        ] {
            let words = line.split(' ').map(OsString::from);
            assert_eq!(arrange(&Cli::definition(), words).command, named, "{line}");
        }
    }

    #[test]
    fn options_before_the_command_move_after_it() {
        for (line, expected) in [
            ("m -o json region list", "m region list -o json"),
            ("m --yes region -ojson remove a --wait", "m region remove --yes -ojson a --wait"),
            ("m --units -1 region scale a", "m region scale --units -1 a"),
            ("m --version", "m --version"),
            ("m agent --config f", "m agent --config f"),
            ("m help region", "m help region"),
            ("m --yes -- region", "m --yes -- region"),
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!(arranged(&words).join(" "), expected, "{line}");
        }
    }

    #[test]
    fn only_removals_of_region_set_get_the_placeholder() {
        for (line, expected) in [
            (&["m", "region", "set", "a=1", "-b"][..], &["m", "region", "set", "a=1", "−b"][..]),
            (&["m", "region", "set", "-b", "--yes"], &["m", "region", "set", "−b", "--yes"]),
            (&["m", "--yes", "region", "set", "-b"], &["m", "region", "set", "--yes", "−b"]),
            (
                &["m", "--service", "s", "region", "-o", "json", "set", "-b"],
                &["m", "region", "set", "--service", "s", "-o", "json", "−b"],
            ),
            (&["m", "region", "set", "-ojson", "-h"], &["m", "region", "set", "-ojson", "-h"]),
            (&["m", "region", "set", "--", "-h"], &["m", "region", "set", "--", "-h"]),
            (
                &["m", "region", "set", "--reason", "-b", "-c"],
                &["m", "region", "set", "--reason", "-b", "−c"],
            ),
            (&["m", "region", "list", "-b"], &["m", "region", "list", "-b"]),
            (
                &["m", "--service", "region", "set", "-b"],
                &["m", "--service", "region", "set", "-b"],
            ),
        ] {
            assert_eq!(arranged(line), expected, "{line:?}");
        }
    }

    #[test]
    fn an_option_name_means_the_same_in_every_command() {
        fn visit(command: &Command, seen: &mut BTreeMap<String, bool>) {
            for option in command.get_arguments() {
                let takes_value = option.get_action().takes_values();
                let long = option.get_long().map(|name| format!("--{name}"));
                let short = option.get_short().map(|name| format!("-{name}"));
                for name in long.into_iter().chain(short) {
                    let before = *seen.entry(name.clone()).or_insert(takes_value);
                    assert_eq!(before, takes_value, "{}: {name}", command.get_name());
                }
            }
            command.get_subcommands().for_each(|inner| visit(inner, seen));
        }
        visit(&Cli::definition(), &mut BTreeMap::new());
    }
}
