//! Formatting of errors for logs and reports.

use std::error::Error;

/// Formats an error and its sources in one line, separated by `: `.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
