//! Rendering of configuration: the commented file with every key, and the list of effective values.

use super::key::{KEYS, Key, Kind};
use super::values::Values;

/// Maximum width of a comment line, in columns.
const WIDTH: usize = 100;

/// Renders a commented file with every key: keys in `values` with their values, the others commented
/// out with their default or an example. `head` is the leading comment.
#[must_use]
pub fn file(head: &str, values: &Values) -> String {
    let mut text = comment(head);
    for key in &KEYS {
        text.push('\n');
        text.push_str(&comment(key.help));
        text.push_str(&match values.get(key.name) {
            Some(setting) => format!("{} = {}\n", key.name, value(key, &setting.texts)),
            None => format!("#{} = {}\n", key.name, value(key, &placeholder(key))),
        });
    }
    text
}

/// Renders one line per key that has a value, with the origin of the value.
#[must_use]
pub fn in_effect(values: &Values) -> String {
    let mut text = String::new();
    for key in &KEYS {
        if let Some(setting) = values.get(key.name) {
            let line = format!("{} = {}", key.name, value(key, &setting.texts));
            text.push_str(&format!("{line:<48} # {}\n", setting.origin));
        }
    }
    text
}

fn placeholder(key: &Key) -> Vec<String> {
    let text = key.default.unwrap_or(key.example);
    match key.kind {
        Kind::List => text.split(", ").map(str::to_owned).collect(),
        Kind::Text | Kind::Number(_) | Kind::Switch => vec![text.to_owned()],
    }
}

fn value(key: &Key, texts: &[String]) -> String {
    let quoted = |text: &String| toml::Value::from(text.as_str()).to_string();
    match key.kind {
        Kind::Text => texts.iter().map(quoted).collect(),
        Kind::Number(_) | Kind::Switch => texts.concat(),
        Kind::List => {
            let items: Vec<_> = texts.iter().map(quoted).collect();
            format!("[{}]", items.join(", "))
        }
    }
}

/// Formats the text as comment lines, wrapped between words.
fn comment(text: &str) -> String {
    let mut lines = String::new();
    for paragraph in text.split('\n') {
        let mut line = String::from("#");
        for word in paragraph.split(' ') {
            if line.len() + 1 + word.len() > WIDTH {
                lines.push_str(&line);
                lines.push('\n');
                line = String::from("#");
            }
            line.push(' ');
            line.push_str(word);
        }
        lines.push_str(line.trim_end());
        lines.push('\n');
    }
    lines
}
