//! The log: text for a person at a terminal, and an object a line for programs.
//!
//! What is logged must be fit for a stranger's eyes: names, numbers, addresses; never what a caller
//! sent through a gateway, and never a secret.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::{EnvFilter, LevelFilter, ParseError};

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// As text on a terminal, as JSON elsewhere.
    Auto,
    /// As text.
    Text,
    /// As JSON, an object a line.
    Json,
}

/// What libraries say below these levels is for those who work on them. A level that names them
/// counts more.
const LIBRARIES: &str = "openraft=error,raft_log=warn,chunked_wal=warn,sled=warn,\
                         h2=info,hyper=info,hyper_util=info,tonic=info,tower=info";

/// The text is not what is to be logged.
#[derive(Debug, thiserror::Error)]
pub enum NotALevel {
    /// A word that is no level; it would be taken for the name of a module.
    #[error(
        "{given:?} is not a level: write error, warn, info, debug, trace or off, and behind \
             commas exceptions such as openraft=debug"
    )]
    Word {
        /// The word.
        given: String,
    },
    /// An exception that cannot be understood.
    #[error(transparent)]
    Exception(#[from] ParseError),
}

/// What `level` means; where it has exceptions alone, the rest is `info`.
///
/// # Errors
/// If it means nothing.
pub fn filter(level: &str) -> Result<EnvFilter, NotALevel> {
    let mut words = level.split(',').map(str::trim).filter(|part| !part.contains(['=', '[']));
    // The library takes an empty word for a level.
    if let Some(word) = words.find(|word| word.is_empty() || word.parse::<LevelFilter>().is_err()) {
        return Err(NotALevel::Word { given: word.to_owned() });
    }
    Ok(EnvFilter::try_new(format!("info,{LIBRARIES},{level}"))?)
}

/// Sends the log of this process to standard error. To be called once.
///
/// # Errors
/// If `level` is none.
pub fn start(format: LogFormat, level: &str) -> Result<(), NotALevel> {
    let filter = filter(level)?;
    let json = match format {
        LogFormat::Auto => !io::stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    if json {
        builder.json().flatten_event(true).with_current_span(false).init();
    } else {
        builder.with_ansi(io::stderr().is_terminal()).init();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_quiet_unless_they_are_named() {
        let shown = |level: &str| filter(level).expect("is a level").to_string();
        assert!(shown("debug").contains("openraft=error"));
        assert!(shown("debug").contains("debug"));
        let named = shown("info,openraft=trace");
        assert!(named.contains("openraft=trace") && !named.contains("openraft=error"), "{named}");
        for bad in ["loud,,=", "nonsense", "", "info,nonsense", "openraft=loud"] {
            assert!(filter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn exceptions_alone_leave_the_rest_as_it_is() {
        let shown = filter("openraft=debug").expect("is a level").to_string();
        assert!(shown.split(',').any(|directive| directive == "info"), "{shown}");
        let quiet = filter("off").expect("is a level").to_string();
        assert!(!quiet.split(',').any(|directive| directive == "info"), "{quiet}");
    }
}
