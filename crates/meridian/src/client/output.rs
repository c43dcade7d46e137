//! Standard output: text for people, JSON for programs. Only data goes there.

use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::cli::Format;

use super::failure::Failure;

/// Maximum width of a default table in characters: that of a terminal.
pub const WIDTH: usize = 80;
/// Minimum width to which the last column of a default table is truncated.
const MIN_LAST: usize = 8;
/// Number of characters at the end of a name that are kept when it is shortened.
const KEPT_END: usize = 4;
/// Characters between two columns.
const GAP: usize = 2;

/// Row of a table for people, and object of a list for programs.
pub trait Row: Serialize {
    /// Heads of the default table. Its last column is truncated, and long names in the others are
    /// shortened, to fit 80 characters.
    const HEADS: &'static [&'static str];
    /// Heads of the wide table.
    const WIDE_HEADS: &'static [&'static str];

    /// Returns the cells of the default table, one for each head.
    fn cells(&self) -> Vec<String>;

    /// Returns the cells of the wide table, one for each head.
    fn wide_cells(&self) -> Vec<String>;
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

    /// Returns the format.
    pub fn format(self) -> Format {
        self.format
    }

    /// True if people read it as default tables.
    pub fn is_table(self) -> bool {
        self.format == Format::Table
    }

    /// Formats a table: without borders, one line per row. For a format other than wide, the
    /// default table.
    pub fn table<T: Row>(self, rows: &[T]) -> String {
        match self.format {
            Format::Table | Format::Json => table(rows),
            Format::Wide => wide_table(rows),
        }
    }

    /// Writes a list: a table, or a JSON array.
    ///
    /// # Errors
    /// If standard output cannot be written, or its pipe was closed.
    pub fn list<T: Row>(self, rows: &[T]) -> Result<(), Failure> {
        match self.format {
            Format::Table | Format::Wide => write(&self.table(rows)),
            Format::Json => json(&rows),
        }
    }

    /// Writes one object: as text, or as a JSON object.
    ///
    /// # Errors
    /// Same as [`Output::list`].
    pub fn one<T: Serialize>(
        self,
        object: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table | Format::Wide => write(&text(object)),
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
/// Same as [`Output::list`].
pub fn write(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::PipeClosed,
        _ => Failure::Output(error),
    })
}

/// Formats the default table.
pub fn table<T: Row>(rows: &[T]) -> String {
    let mut cells: Vec<Vec<String>> = rows.iter().map(Row::cells).collect();
    let widest = |column: usize| {
        let cells = cells.iter().map(|row| row[column].chars().count());
        cells.chain([T::HEADS[column].len()]).max().unwrap_or_default()
    };
    let widths = fitted((0..T::HEADS.len()).map(widest).collect());
    for row in &mut cells {
        if let (Some((last, others)), Some((last_width, widths))) =
            (row.split_last_mut(), widths.split_last())
        {
            *last = truncated(last, *last_width);
            for (cell, width) in others.iter_mut().zip(widths) {
                *cell = shortened(cell, *width);
            }
        }
    }
    lines(T::HEADS, cells)
}

/// Reduces the widths of columns to fit 80 characters: that of the last column, then the widest.
fn fitted(mut widths: Vec<usize>) -> Vec<usize> {
    let total = widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
    let mut excess = total.saturating_sub(WIDTH);
    if let Some(last) = widths.last_mut() {
        let cut = excess.min(last.saturating_sub(MIN_LAST));
        *last -= cut;
        excess -= cut;
    }
    for _ in 0..excess {
        if let Some(widest) = widths.iter_mut().max() {
            *widest -= 1;
        }
    }
    widths
}

/// Formats the table with all columns.
pub fn wide_table<T: Row>(rows: &[T]) -> String {
    lines(T::WIDE_HEADS, rows.iter().map(Row::wide_cells).collect())
}

fn lines(heads: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(heads);
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// Returns at most `limit` characters, the last of them an ellipsis if any are missing.
pub fn truncated(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let start: String = text.chars().take(limit.saturating_sub(1)).collect();
    format!("{}…", start.trim_end())
}

/// Returns at most `limit` characters, with an ellipsis before the end if any are missing: the end
/// of a name, such as the slot of a unit, distinguishes it.
fn shortened(text: &str, limit: usize) -> String {
    let length = text.chars().count();
    if length <= limit {
        return text.to_owned();
    }
    let end = KEPT_END.min(limit.saturating_sub(1));
    let start: String = text.chars().take(limit.saturating_sub(end + 1)).collect();
    let end: String = text.chars().skip(length - end).collect();
    format!("{start}…{end}")
}

/// Placeholder in an empty cell.
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
        const WIDE_HEADS: &'static [&'static str] = &["COUNT", "NAME"];

        fn cells(&self) -> Vec<String> {
            vec![self.0.to_owned(), self.1.to_string()]
        }

        fn wide_cells(&self) -> Vec<String> {
            vec![self.1.to_string(), self.0.to_owned()]
        }
    }

    #[test]
    fn columns_are_aligned_and_lines_have_no_trailing_spaces() {
        let text = table(&[Fruit("fig", 3), Fruit("tangerine", 12)]);
        assert_eq!(text, "NAME       COUNT\nfig        3\ntangerine  12\n");
    }

    #[test]
    fn a_wide_table_has_its_own_columns() {
        assert_eq!(wide_table(&[Fruit("fig", 3)]), "COUNT  NAME\n3      fig\n");
    }

    #[test]
    fn only_text_beyond_the_limit_is_truncated() {
        assert_eq!(truncated("tangerine", 9), "tangerine");
        assert_eq!(truncated("tangerine", 8), "tangeri…");
        assert_eq!(truncated("one two", 5), "one…");
    }

    #[test]
    fn a_long_name_is_shortened_before_its_end() {
        assert_eq!(shortened("contoso/eastus/12", 17), "contoso/eastus/12");
        assert_eq!(shortened("contoso/eastus/12", 12), "contoso…s/12");
        assert_eq!(fitted(vec![10, 20]), [10, 20]);
        assert_eq!(fitted(vec![70, 20]), [70, 8]);
        assert_eq!(fitted(vec![90, 30, 20]), [38, 30, 8]);
    }

    #[test]
    fn an_empty_table_has_its_heads() {
        assert_eq!(table::<Fruit>(&[]), "NAME  COUNT\n");
    }
}
