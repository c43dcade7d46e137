//! The log: text on a terminal, one JSON object per line elsewhere.
//!
//! Logs may be read by people without access to the traffic: log names, numbers and addresses, never the
//! content of requests or responses, and never a secret.

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::subscriber::Interest;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, LevelFilter, ParseError, dynamic_filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// Text.
    Text,
    /// JSON, one object per line.
    Json,
}

/// Default levels of libraries: lower levels are for the developers of the library. A configured
/// level that names a library takes precedence.
const LIBRARIES: &str = "openraft=error,raft_log=warn,chunked_wal=warn,sled=warn,\
                         h2=info,hyper=info,hyper_util=info,tonic=info,tower=info";

/// True once this process shuts down.
static SHUTTING_DOWN: AtomicBool = AtomicBool::new(false);

/// Reason why a log level is invalid.
#[derive(Debug, thiserror::Error)]
pub enum InvalidLevel {
    /// A word that is not a level; the library would read it as the name of a module.
    #[error(
        "{given:?} is not a level: use error, warn, info, debug, trace or off, optionally followed by \
         comma-separated overrides such as openraft=debug"
    )]
    Word {
        /// The word.
        given: String,
    },
    /// An override that cannot be parsed.
    #[error(transparent)]
    Override(#[from] ParseError),
}

/// Parses a log level with optional overrides. If it consists of overrides only, the default level is
/// `info`.
///
/// # Errors
/// If the level is invalid.
pub fn filter(level: &str) -> Result<EnvFilter, InvalidLevel> {
    let mut words = level.split(',').map(str::trim).filter(|part| !part.contains(['=', '[']));
    // The library accepts an empty word as a level.
    if let Some(word) = words.find(|word| word.is_empty() || word.parse::<LevelFilter>().is_err()) {
        return Err(InvalidLevel::Word { given: word.to_owned() });
    }
    Ok(EnvFilter::try_new(format!("info,{LIBRARIES},{level}"))?)
}

/// Starts logging to standard error. Must be called once per process.
///
/// # Errors
/// If `level` is invalid.
pub fn start(format: LogFormat, level: &str) -> Result<(), InvalidLevel> {
    let filter = filter(level)?;
    let json = match format {
        LogFormat::Auto => !io::stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    if json {
        let subscriber = builder.json().flatten_event(true).with_current_span(false).finish();
        subscriber.with(without_expected_errors()).init();
    } else {
        let subscriber = builder.with_ansi(io::stderr().is_terminal()).finish();
        subscriber.with(without_expected_errors()).init();
    }
    Ok(())
}

/// Marks the start of a clean shutdown.
pub fn shutting_down() {
    SHUTTING_DOWN.store(true, Ordering::Relaxed);
}

/// Drops errors that are part of a clean shutdown: the tasks of openraft log an error each time they find
/// that another one has stopped. Only the events concerned are filtered dynamically.
fn without_expected_errors<S: Subscriber>() -> impl Layer<S> {
    dynamic_filter_fn(|metadata, _| {
        !(SHUTTING_DOWN.load(Ordering::Relaxed) && is_raft_error(metadata))
    })
    .with_callsite_filter(|metadata| match is_raft_error(metadata) {
        true => Interest::sometimes(),
        false => Interest::always(),
    })
}

fn is_raft_error(metadata: &Metadata<'_>) -> bool {
    *metadata.level() == Level::ERROR && metadata.target().starts_with("openraft")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn libraries_are_quiet_unless_they_are_named() {
        let shown = |level: &str| filter(level).expect("valid level").to_string();
        assert!(shown("debug").contains("openraft=error"));
        assert!(shown("debug").contains("debug"));
        let named = shown("info,openraft=trace");
        assert!(named.contains("openraft=trace") && !named.contains("openraft=error"), "{named}");
        for bad in ["loud,,=", "nonsense", "", "info,nonsense", "openraft=loud"] {
            assert!(filter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn overrides_alone_keep_the_default_level() {
        let shown = filter("openraft=debug").expect("valid level").to_string();
        assert!(shown.split(',').any(|directive| directive == "info"), "{shown}");
        let quiet = filter("off").expect("valid level").to_string();
        assert!(!quiet.split(',').any(|directive| directive == "info"), "{quiet}");
    }

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn errors_of_openraft_are_logged_until_the_process_shuts_down() {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let builder =
            tracing_subscriber::fmt().with_env_filter(filter("info").expect("valid level"));
        let subscriber = builder.with_writer(move || writer.clone()).finish();
        let log = |number: u8| {
            tracing::error!(target: "openraft::core", "raft {number}");
            tracing::error!(target: "meridian", "own {number}");
            tracing::debug!(target: "meridian", "debug {number}");
        };
        tracing::subscriber::with_default(subscriber.with(without_expected_errors()), || {
            log(1);
            shutting_down();
            log(2);
        });
        let text = String::from_utf8(buffer.0.lock().expect("not poisoned").clone());
        let text = text.expect("valid UTF-8");
        assert!(text.contains("raft 1") && text.contains("own 1"), "{text}");
        assert!(!text.contains("raft 2") && text.contains("own 2"), "{text}");
        assert!(!text.contains("debug"), "{text}");
    }
}
