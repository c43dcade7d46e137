//! What a unit that ended said last.

use serde_json::Value;

/// Characters of the last line that are kept: a cause of failure has at most 256.
const LAST_WORDS_CHARS: usize = 160;

/// The last line with something in it, cut to a sensible length.
pub(super) fn last_line(text: &str) -> Option<String> {
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    let words = message(line).unwrap_or_else(|| line.to_owned());
    Some(words.chars().filter(|c| !c.is_control()).take(LAST_WORDS_CHARS).collect())
}

/// What a line says that is of a log in JSON, as Meridian's own units write.
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
    fn of_a_log_in_json_the_message_counts() {
        for (text, words) in [
            ("Error: no\t luck\n\n", "Error: no luck"),
            (r#"{"level":"INFO","message":"configured"}"#, "configured"),
            (
                r#"{"message":"no luck","error":"port 8080 is taken"}"#,
                "no luck: port 8080 is taken",
            ),
            (r#"{"text":"of another kind"}"#, r#"{"text":"of another kind"}"#),
        ] {
            assert_eq!(last_line(text).as_deref(), Some(words));
        }
        assert_eq!(last_line(" \n"), None);
    }
}
