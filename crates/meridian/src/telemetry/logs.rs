//! The log: text for a person at a terminal, and an object a line for programs.
//!
//! What is logged must be fit for a stranger's eyes: names, numbers, addresses; never what a caller
//! sent through a gateway, and never a secret.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::{EnvFilter, ParseError};

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

/// What `level` means.
///
/// # Errors
/// If it means nothing.
pub fn filter(level: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::try_new(format!("{LIBRARIES},{level}"))
}

/// Sends the log of this process to standard error. To be called once.
///
/// # Errors
/// If `level` is none.
pub fn start(format: LogFormat, level: &str) -> Result<(), ParseError> {
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
        assert!(filter("loud,,=").is_err());
    }
}
