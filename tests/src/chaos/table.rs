//! How each kind of fault was survived, for README.md: what a run measured, and nothing else.

use std::fmt::Write as _;

use anyhow::Context as _;
use meridian_testkit::check::{Summary, Survival, Verdict};

use super::schedule::Kind;

/// What stands around the table in a file.
const BEGIN: &str = "<!-- `meridian-chaos table` writes what follows. -->\n";
const END: &str = "<!-- The end of it. -->\n";
const HEAD: &str = "| fault | what happens | injected | longest without an acknowledged change | \
                    leader changes | snapshots |\n| --- | --- | --- | --- | --- | --- |\n";

/// The table of a run, with the run's numbers; without a run, that there are none.
pub fn of(verdict: Option<&Verdict>) -> String {
    let numbers = match verdict {
        Some(Verdict { summary, violations }) => numbers(summary, violations.len()),
        None => "No soak of this version was measured yet.".to_owned(),
    };
    let mut table = format!("{numbers}\n\n{HEAD}");
    for kind in Kind::all() {
        let survived = verdict.and_then(|it| it.summary.faults.get(&kind.name()));
        table.push_str(&row(kind, survived));
    }
    table
}

fn numbers(summary: &Summary, violations: usize) -> String {
    let Summary { seed, agents, acknowledged, leader_changes, snapshots, .. } = summary;
    format!(
        "The last soak, of {:.0} minutes with {agents} agents and seed {seed}: {acknowledged} changes \
         acknowledged, {} faults\ninjected, {leader_changes} leader changes, {snapshots} snapshots \
         received, {violations} violations.",
        summary.load_seconds as f64 / 60.0,
        summary.injected(),
    )
}

fn row(kind: Kind, survived: Option<&Survival>) -> String {
    let mut row = format!("| `{}` | {} |", kind.name(), kind.meaning());
    let written = match survived {
        None => write!(row, " | | | |"),
        Some(it) => {
            let silence = it.longest_silence_ms as f64 / 1_000.0;
            let (leaders, snapshots) = (it.leader_changes, it.snapshots);
            write!(row, " {} | {silence:.1} s | {leaders} | {snapshots} |", it.injected)
        }
    };
    written.expect("a text takes everything");
    row.push('\n');
    row
}

/// A text with another table in the place of the one that it has.
///
/// # Errors
/// If it has none.
pub fn replaced(text: &str, table: &str) -> anyhow::Result<String> {
    let (before, rest) = text.split_once(BEGIN).context("no place for a table is marked")?;
    let (_, after) = rest.split_once(END).context("the place of the table has no end")?;
    Ok(format!("{before}{BEGIN}{table}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const README: &str = include_str!("../../../README.md");

    /// What a table says of the faults themselves: their names and what they are.
    fn described(text: &str) -> Vec<String> {
        let rows = text.lines().filter(|line| line.starts_with("| `"));
        rows.map(|row| row.split(" | ").take(2).collect::<Vec<_>>().join(" | ")).collect()
    }

    #[test]
    fn the_table_in_the_readme_has_every_fault_that_there_is_as_it_is() {
        let (_, rest) = README.split_once(BEGIN).expect("the table begins");
        let (table, _) = rest.split_once(END).expect("the table ends");
        let rows: String = Kind::all().into_iter().map(|kind| row(kind, None)).collect();
        let update = "run a soak, and then `meridian-chaos table VERDICT --into README.md`";
        assert_eq!(described(table), described(&rows), "{update}");
        let measured = table.contains("violations");
        assert!(!measured || table.contains(" 0 violations."), "{update}");
    }

    #[test]
    fn a_row_says_what_was_measured() {
        let survived = Survival {
            injected: 3,
            felt: 3,
            longest_silence_ms: 1_240,
            leader_changes: 2,
            snapshots: 1,
        };
        let row = row(Kind::Transfer, Some(&survived));
        assert_eq!(row, "| `transfer` | Another agent is told to lead | 3 | 1.2 s | 2 | 1 |\n");
    }

    #[test]
    fn a_table_takes_the_place_of_the_one_before() {
        let text = format!("before\n{BEGIN}old\n{END}after\n");
        let text = replaced(&text, "new\n").expect("has a place");
        assert_eq!(text, format!("before\n{BEGIN}new\n{END}after\n"));
        assert!(replaced("no place", "new").is_err());
    }
}
