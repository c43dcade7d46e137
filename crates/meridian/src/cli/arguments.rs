//! Lets `-REGION` stand among the edits of `region set`.
//!
//! `clap` can accept values that begin with a hyphen, but then takes every flag behind the first of
//! them for a value too: `region set eastus=2 -westus --yes` would lose its `--yes`. So the hyphen
//! of a removal is replaced before `clap` sees it.

use std::ffi::{OsStr, OsString};

use clap::Command;

use super::edit::MINUS;

/// Replaces the hyphen of each removal behind `region set`; everything else stays as it is.
///
/// What begins with two hyphens is a flag, and so are `-h`, `-o` and `-oFORMAT`. A region with such
/// a name can be removed behind a lone `--`.
pub(super) fn mark_removals(root: &Command, raw: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut words = Vec::new();
    let mut value_follows = false;
    let mut raw = raw.peekable();
    let mut marked: Vec<OsString> = raw.next().into_iter().collect();
    for argument in raw.by_ref() {
        let text = argument.to_str().unwrap_or_default();
        if text == "--" {
            marked.push(argument);
            break;
        }
        let is_value = std::mem::replace(&mut value_follows, takes_next(root, text));
        if is_value {
            value_follows = false;
        } else if !text.starts_with('-') {
            words.push(argument.clone());
        } else if words
            .iter()
            .map(OsString::as_os_str)
            .take(2)
            .eq(["region", "set"].map(OsStr::new))
            && let Some(region) = removed_region(text)
        {
            marked.push(format!("{MINUS}{region}").into());
            continue;
        }
        marked.push(argument);
    }
    marked.extend(raw);
    marked
}

/// The command that the arguments name, as it is typed: `meridian region add`.
pub(super) fn named_command(root: &Command, arguments: &[OsString]) -> String {
    let mut named = root.get_name().to_owned();
    let mut command = root;
    let mut value_follows = false;
    for text in arguments.iter().skip(1).map(|argument| argument.to_str().unwrap_or_default()) {
        if std::mem::replace(&mut value_follows, takes_next(root, text)) {
            value_follows = false;
        } else if let Some(inner) = command.find_subcommand(text) {
            named = format!("{named} {}", inner.get_name());
            command = inner;
        } else if !text.starts_with('-') {
            break;
        }
    }
    named
}

/// Whether `text` is a flag whose value is the next argument.
fn takes_next(root: &Command, text: &str) -> bool {
    root.get_arguments().filter(|flag| flag.get_action().takes_values()).any(|flag| {
        let long = text.strip_prefix("--").filter(|name| flag.get_long() == Some(name));
        let mut short = text.strip_prefix('-').into_iter().flat_map(str::chars);
        long.is_some()
            || (short.next() == flag.get_short()
                && flag.get_short().is_some()
                && short.next().is_none())
    })
}

/// The region of `-REGION`, unless the argument is a flag.
fn removed_region(text: &str) -> Option<&str> {
    let region = text.strip_prefix('-')?;
    let flag = matches!(region, "h" | "o" | "otable" | "ojson") || region.starts_with("o=");
    (!flag && region.starts_with(|c: char| c.is_ascii_alphabetic())).then_some(region)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    fn marked(line: &[&str]) -> Vec<String> {
        let raw = line.iter().map(OsString::from);
        mark_removals(&Cli::command(), raw)
            .into_iter()
            .map(|argument| argument.into_string().expect("is text"))
            .collect()
    }

    #[test]
    fn the_command_is_found_among_flags_and_operands() {
        for (line, named) in [
            ("m", "meridian"),
            ("m --timeout x", "meridian"),
            ("m --service region unit list", "meridian unit list"),
            ("m cluster --yes limits set --voters two", "meridian cluster limits set"),
            ("m region add set --units x", "meridian region add"),
        ] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(named_command(&Cli::command(), &words), named, "{line}");
        }
    }

    #[test]
    fn only_removals_behind_region_set_are_marked() {
        for (line, expected) in [
            (&["m", "region", "set", "a=1", "-b"][..], &["m", "region", "set", "a=1", "−b"][..]),
            (&["m", "region", "set", "-b", "--yes"], &["m", "region", "set", "−b", "--yes"]),
            (&["m", "--yes", "region", "set", "-b"], &["m", "--yes", "region", "set", "−b"]),
            (
                &["m", "--service", "s", "region", "-o", "json", "set", "-b"],
                &["m", "--service", "s", "region", "-o", "json", "set", "−b"],
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
            assert_eq!(marked(line), expected, "{line:?}");
        }
    }
}
