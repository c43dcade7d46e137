//! The command as typed, so that a message can include the command that retries it.

use std::env;

use crate::cli::UnitCount;

/// The program and its arguments.
#[derive(Debug, Clone)]
pub struct CommandLine {
    program: String,
    arguments: Vec<String>,
}

impl CommandLine {
    /// The command line of this process.
    pub fn of_this_process() -> Self {
        Self::new(env::args_os().map(|argument| argument.to_string_lossy().into_owned()))
    }

    fn new(words: impl Iterator<Item = String>) -> Self {
        let mut words = words;
        let program = words.next().unwrap_or_else(|| "meridian".to_owned());
        Self { program, arguments: words.collect() }
    }

    /// The same command, quoted for a shell.
    pub fn again(&self) -> String {
        join(std::iter::once(&self.program).chain(&self.arguments))
    }

    /// The same command for the same request, quoted for a shell. The id comes first, because after
    /// `--` it would be an operand.
    pub fn with_request_id(&self, id: &str) -> String {
        let (flag, id) = ("--request-id".to_owned(), id.to_owned());
        let mut kept = Vec::new();
        let mut arguments = self.arguments.iter();
        while let Some(argument) = arguments.next() {
            if *argument == flag {
                arguments.next();
            } else if !argument.starts_with("--request-id=") {
                kept.push(argument);
            }
        }
        join([&self.program, &flag, &id].into_iter().chain(kept))
    }

    /// Replaces relative numbers of units with the absolute ones that `units` returns for a region
    /// as typed, and adds the expected revision: a retry has to send the same request.
    pub fn make_absolute(&mut self, units: impl Fn(&str) -> Option<u32>, expected: Option<u64>) {
        let is_relative =
            |text: &str| matches!(text.parse::<UnitCount>(), Ok(UnitCount::Relative(_)));
        // `region scale` has one region, so `units` ignores the name.
        let of_option = || units("--units");
        let mut follows_option = false;
        for argument in &mut self.arguments {
            let absolute = match argument.rsplit_once('=') {
                _ if follows_option && is_relative(argument) => of_option().map(|n| n.to_string()),
                Some((name, count)) if is_relative(count) => {
                    units(name).map(|n| format!("{name}={n}"))
                }
                _ => None,
            };
            follows_option = argument == "--units";
            if let Some(absolute) = absolute {
                *argument = absolute;
            }
        }
        if let Some(revision) = expected {
            self.arguments.splice(0..0, ["--expect-revision".to_owned(), revision.to_string()]);
        }
    }
}

fn join<'a>(words: impl Iterator<Item = &'a String>) -> String {
    words.map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

/// Quotes a word for a POSIX shell if necessary.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./_-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01932f5e-8b1a-7c3d-9e4f-0123456789ab";

    fn typed(words: &[&str]) -> CommandLine {
        CommandLine::new(words.iter().map(|word| (*word).to_owned()))
    }

    #[test]
    fn the_command_that_retries_is_the_same_with_the_request_id() {
        for (words, retry) in [
            (
                &["meridian", "region", "add", "eastus"][..],
                "meridian --request-id ID region add eastus",
            ),
            (
                &["meridian", "region", "set", "West Europe=3", "--reason", "it's"],
                r"meridian --request-id ID region set 'West Europe=3' --reason 'it'\''s'",
            ),
            (
                &["m", "--request-id", "x", "region", "set", "a=1", "--", "-b"],
                "m --request-id ID region set a=1 -- -b",
            ),
            (&["m", "region", "add", "a", "--request-id=x"], "m --request-id ID region add a"),
        ] {
            assert_eq!(typed(words).with_request_id(ID), retry.replace("ID", ID));
        }
    }

    #[test]
    fn relative_numbers_become_absolute() {
        for (words, absolute) in [
            (
                &["m", "region", "scale", "a", "--units", "+1"][..],
                "m --expect-revision 9 region scale a --units 3",
            ),
            (
                &["m", "region", "scale", "--units=-01", "a"],
                "m --expect-revision 9 region scale --units=3 a",
            ),
            (
                &["m", "region", "set", "West Europe=+1", "b=2", "-c"],
                "m --expect-revision 9 region set 'West Europe=3' b=2 -c",
            ),
        ] {
            let mut line = typed(words);
            line.make_absolute(|_| Some(3), Some(9));
            assert_eq!(line.again(), absolute);
        }
    }
}
