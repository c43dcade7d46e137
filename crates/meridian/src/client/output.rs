//! Standard output: text for people, JSON for programs. Only data goes there.

use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::cli::Format;

use super::failure::Failure;

/// A row of a table for people, and an object of a list for programs.
pub trait Row: Serialize {
    /// Column headers.
    const HEADS: &'static [&'static str];

    /// Cells, one per column.
    fn cells(&self) -> Vec<String>;
}

/// Writer for standard output, in one format.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    format: Format,
}

impl Output {
    /// Creates a writer.
    pub fn new(format: Format) -> Self {
        Self { format }
    }

    /// True if the output is JSON.
    pub fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// Writes a list: a table, or a JSON array.
    ///
    /// # Errors
    /// If standard output cannot be written, or its pipe was closed.
    pub fn list<T: Row>(self, rows: &[T]) -> Result<(), Failure> {
        match self.format {
            Format::Table => write(&table(rows)),
            Format::Json => json(&rows),
        }
    }

    /// Writes one object: as text, or as a JSON object.
    ///
    /// # Errors
    /// As [`Output::list`].
    pub fn one<T: Serialize>(
        self,
        object: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table => write(&text(object)),
            Format::Json => json(object),
        }
    }
}

/// One object as a line of JSON.
///
/// # Errors
/// If it cannot be serialized.
pub fn json_line<T: Serialize>(object: &T) -> Result<String, Failure> {
    let line = serde_json::to_string(object).map_err(|error| Failure::Output(error.into()))?;
    Ok(line + "\n")
}

fn json<T: Serialize>(object: &T) -> Result<(), Failure> {
    let text =
        serde_json::to_string_pretty(object).map_err(|error| Failure::Output(error.into()))?;
    write(&format!("{text}\n"))
}

/// Writes text.
///
/// # Errors
/// As [`Output::list`].
pub fn write(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::PipeClosed,
        _ => Failure::Output(error),
    })
}

/// A table without borders, one line per row.
pub fn table<T: Row>(rows: &[T]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(T::HEADS);
    table.add_rows(rows.iter().map(Row::cells));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// Text of an empty cell.
pub const NONE: &str = "-";

/// Text of a cell with an optional value.
pub fn cell<T: ToString>(value: Option<&T>) -> String {
    value.map_or_else(|| NONE.to_owned(), ToString::to_string)
}

/// Text of a cell with several values.
pub fn cells_of<T: ToString>(values: &[T]) -> String {
    if values.is_empty() {
        return NONE.to_owned();
    }
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Text of a cell with a boolean.
pub fn yes_no(truth: bool) -> String {
    if truth { "yes".to_owned() } else { "no".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Fruit(&'static str, u32);

    impl Row for Fruit {
        const HEADS: &'static [&'static str] = &["NAME", "COUNT"];

        fn cells(&self) -> Vec<String> {
            vec![self.0.to_owned(), self.1.to_string()]
        }
    }

    #[test]
    fn columns_are_aligned_and_lines_have_no_trailing_spaces() {
        let text = table(&[Fruit("fig", 3), Fruit("tangerine", 12)]);
        assert_eq!(text, "NAME       COUNT\nfig        3\ntangerine  12\n");
    }

    #[test]
    fn an_empty_table_has_its_headers() {
        assert_eq!(table::<Fruit>(&[]), "NAME  COUNT\n");
    }
}
