//! `meridian unit --cluster ...`: the process of one gateway unit, as an agent starts it. Nobody types
//! this, so it is read before the command line is, whose flags mean other things.

use std::process::ExitCode;

use meridian_gateway::{ArgumentError, UnitConfig};

use crate::exit;
use crate::telemetry::logs::{self, LogFormat};

/// What a unit logs. Its agent keeps the file.
const LOG_LEVEL: &str = "info";

/// The unit that the arguments of this process ask for, if they do.
#[must_use]
pub fn requested() -> Option<Result<UnitConfig, ArgumentError>> {
    let mut arguments = std::env::args().skip(1).peekable();
    let is_unit = arguments.next().is_some_and(|command| command == "unit");
    let begins = arguments.peek().is_some_and(|first| first == "--cluster");
    (is_unit && begins).then(|| UnitConfig::from_arguments(arguments))
}

/// Runs the unit to its end, and returns the code to exit with.
pub fn run(config: Result<UnitConfig, ArgumentError>) -> ExitCode {
    match config.map_err(|error| error.to_string()).and_then(serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            exit::report(&cause, "units are started by their agent");
            ExitCode::FAILURE
        }
    }
}

fn serve(config: UnitConfig) -> Result<(), String> {
    logs::start(LogFormat::Auto, LOG_LEVEL).map_err(|error| error.to_string())?;
    // The first of the unit's threads: it starts one for each further core itself.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(meridian_gateway::run(config)).map_err(|error| error.to_string())
}
