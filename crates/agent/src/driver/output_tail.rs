//! The last line of a unit's output, for the cause of a failure.

use serde_json::Value;

/// Maximum length of the line in characters. A failure cause has at most 256.
const MAX_CHARS: usize = 160;

/// Returns the last non-empty line of `text`, without control characters and shortened. Of a JSON
/// log line, returns the message.
pub(super) fn last_line(text: &str) -> Option<String> {
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    let line = message(line).unwrap_or_else(|| line.to_owned());
    Some(line.chars().filter(|c| !c.is_control()).take(MAX_CHARS).collect())
}

/// Extracts message and error from a JSON log line, as Meridian's own units write it.
fn message(line: &str) -> Option<String> {
    let fields: Value = serde_json::from_str(line).ok()?;
    let message = fields.get("message")?.as_str().filter(|text| !text.trim().is_empty())?;
    Some(match fields.get("error").and_then(Value::as_str) {
        Some(error) => format!("{message}: {error}"),
        None => message.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_the_message_of_a_json_log() {
        for (text, expected) in [
            ("Error: not\t found\n\n", "Error: not found"),
            (r#"{"level":"INFO","message":"configured"}"#, "configured"),
            (
                r#"{"message":"cannot listen","error":"port 8080 is in use"}"#,
                "cannot listen: port 8080 is in use",
            ),
            (r#"{"text":"no message"}"#, r#"{"text":"no message"}"#),
        ] {
            assert_eq!(last_line(text).as_deref(), Some(expected));
        }
        assert_eq!(last_line(" \n"), None);
    }
}
