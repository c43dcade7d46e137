//! Command line flags and environment variables of the keys.

use clap::error::Error;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use super::key::{KEYS, Key, Kind};
use super::values::{Origin, Values};

/// Values set by flags and environment variables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags(pub Values);

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        KEYS.iter().fold(command, |command, key| command.arg(argument(key)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn argument(key: &'static Key) -> Arg {
    let default = match key.default {
        Some(default) => format!(" [default: {default}]"),
        None => String::new(),
    };
    let argument = Arg::new(key.name)
        .long(key.name.replace('_', "-"))
        .env(key.variable())
        .hide_env_values(true)
        .value_name(key.placeholder())
        .help(format!("{}{default}", key.help))
        .help_heading("Configuration");
    match key.kind {
        Kind::Text | Kind::Number(_) => argument.action(ArgAction::Set),
        Kind::Switch => argument
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
        Kind::List => argument.action(ArgAction::Append).value_delimiter(','),
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        for key in &KEYS {
            let origin = match matches.value_source(key.name) {
                Some(ValueSource::CommandLine) => Origin::Flag(key.flag()),
                Some(ValueSource::EnvVariable) => Origin::Environment(key.variable()),
                _ => continue,
            };
            let texts = matches.get_many::<String>(key.name).into_iter().flatten();
            let texts: Vec<_> = texts.map(|text| text.trim().to_owned()).collect();
            // Scripts and service managers set an empty variable to mean an unset one.
            let unset = texts.iter().all(String::is_empty);
            if !(unset && matches!(origin, Origin::Environment(_))) {
                self.0.set(key, texts, origin);
            }
        }
        Ok(())
    }
}
