//! Parses command lines in tests.

use std::ffi::OsString;

use super::{Cli, ClientCommand, Command, Options, arguments, usage};

fn try_parse(words: &[&str]) -> Result<ClientCommand, (String, String)> {
    let definition = Cli::definition();
    let raw = ["meridian"].iter().chain(words).map(OsString::from);
    let arranged = arguments::arrange(&definition, raw);
    match Cli::from_arranged(arranged.arguments) {
        Ok(Cli { command: Command::Client(command) }) => Ok(command),
        Ok(other) => panic!("{words:?} is not a client command: {other:?}"),
        Err(error) => Err(usage::lines(&definition, &error, &arranged.command)),
    }
}

/// The client command with these arguments.
#[track_caller]
pub fn words(words: &[&str]) -> ClientCommand {
    try_parse(words).unwrap_or_else(|error| panic!("{words:?}: {error:?}"))
}

/// The client command with these arguments, separated by spaces.
#[track_caller]
pub fn command(line: &str) -> ClientCommand {
    words(&line.split(' ').collect::<Vec<_>>())
}

/// Options of the client command with these arguments, separated by spaces.
#[track_caller]
pub fn options(line: &str) -> Options {
    words(&line.split(' ').collect::<Vec<_>>()).options()
}

/// Cause and next step of the usage error in these arguments, separated by spaces.
#[track_caller]
pub fn fails(line: &str) -> (String, String) {
    let words: Vec<&str> = line.split(' ').collect();
    try_parse(&words).err().unwrap_or_else(|| panic!("{line} is valid"))
}
