//! `meridian unit --cluster ...`: the process of one gateway unit, started by an agent. This is not
//! a user-facing command, so its arguments are parsed before the command line, which has another
//! `unit` command.

use std::process::ExitCode;

use meridian_gateway::{ArgumentError, UnitConfig};

use crate::exit;
use crate::telemetry::logs::{self, LogFormat};

/// Log level of a unit. Its agent manages the log file.
const LOG_LEVEL: &str = "info";

/// Returns the configuration of the unit if this process was started as one.
#[must_use]
pub fn requested() -> Option<Result<UnitConfig, ArgumentError>> {
    let mut arguments = std::env::args_os().skip(1).peekable();
    let is_unit = arguments.next().is_some_and(|command| command == "unit");
    let has_cluster = arguments.peek().is_some_and(|first| first == "--cluster");
    // An agent passes text only.
    let texts = arguments.map(|argument| argument.to_string_lossy().into_owned());
    (is_unit && has_cluster).then(|| UnitConfig::from_arguments(texts))
}

/// Runs the unit until it stops, and returns the exit code.
pub fn run(config: Result<UnitConfig, ArgumentError>) -> ExitCode {
    match config.map_err(|error| error.to_string()).and_then(serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            exit::report(&cause, "do not start units by hand; their agent starts them");
            ExitCode::FAILURE
        }
    }
}

fn serve(config: UnitConfig) -> Result<(), String> {
    logs::start(LogFormat::Auto, LOG_LEVEL).map_err(|error| error.to_string())?;
    meridian_process::restrict_new_files();
    if let (_, Err(error)) = meridian_process::raise_file_limit() {
        tracing::warn!(%error, "cannot raise the limit of open files, which bounds connections");
    }
    // Runtime of the unit's first thread; the unit starts one thread for each further core itself.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(meridian_gateway::run(config)).map_err(|error| error.to_string())
}
