//! The command as it was typed, so that it can be printed once more.

use std::env;

/// The program and its arguments.
#[derive(Debug, Clone)]
pub struct CommandLine {
    program: String,
    arguments: Vec<String>,
}

impl CommandLine {
    /// What this process was started with.
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

    /// The same command for the same request, quoted for a shell. The id stands first, because a
    /// lone `--` among the arguments would make it an operand behind them.
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
}

fn join<'a>(words: impl Iterator<Item = &'a String>) -> String {
    words.map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

/// Quotes a word for a POSIX shell, where it needs that.
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

    #[test]
    fn the_command_that_asks_again_is_the_same_with_the_request_id() {
        for (typed, again) in [
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
            let line = CommandLine::new(typed.iter().map(|word| (*word).to_owned()));
            assert_eq!(line.with_request_id(ID), again.replace("ID", ID));
        }
    }
}
