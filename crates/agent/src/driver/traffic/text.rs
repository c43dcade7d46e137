//! Writer of the text format of Prometheus
//! (<https://prometheus.io/docs/instrumenting/exposition_formats>).

use std::fmt::{self, Display, Write as _};

/// Metrics in the text format. The samples of a family follow its description.
#[derive(Debug, Default)]
pub(super) struct Text(String);

impl Text {
    pub(super) fn counter<'a>(&mut self, name: &'a str, help: &str) -> &'a str {
        self.describe(name, "counter", help)
    }

    pub(super) fn gauge<'a>(&mut self, name: &'a str, help: &str) -> &'a str {
        self.describe(name, "gauge", help)
    }

    pub(super) fn histogram<'a>(&mut self, name: &'a str, help: &str) -> &'a str {
        self.describe(name, "histogram", help)
    }

    fn describe<'a>(&mut self, name: &'a str, kind: &str, help: &str) -> &'a str {
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        name
    }

    /// Writes the value of one series.
    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.write(format_args!("{name}{{"));
        for (index, (label, text)) in labels.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            self.write(format_args!("{separator}{label}=\"{}\"", Escaped(text)));
        }
        self.write(format_args!("}} {value}\n"));
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }

    fn write(&mut self, text: fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("a string can always grow");
    }
}

/// Value of a label, with its special characters escaped.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                character => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_characters_in_the_value_of_a_label_are_escaped() {
        let mut text = Text::default();
        text.sample("a_total", &[("b", "c\"d\\e\nf}"), ("g", "")], 1.5);
        assert_eq!(text.into_string(), "a_total{b=\"c\\\"d\\\\e\\nf}\",g=\"\"} 1.5\n");
    }
}
