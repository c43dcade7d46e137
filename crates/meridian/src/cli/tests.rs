//! Help of all commands.

use std::fs;
use std::path::PathBuf;

use clap::Command;

use super::Cli;

/// Width of the terminal that the help has to fit.
const COLUMNS: usize = 80;

/// Every command except `help`, with its path.
pub(super) fn commands() -> Vec<(String, Command)> {
    fn collect(path: &str, command: &Command, all: &mut Vec<(String, Command)>) {
        all.push((path.to_owned(), command.clone()));
        for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
            collect(&format!("{path} {}", inner.get_name()), inner, all);
        }
    }
    let mut definition = Cli::definition().term_width(COLUMNS);
    definition.build();
    let mut all = Vec::new();
    collect("meridian", &definition, &mut all);
    all
}

/// The text that `PATH --help` prints.
fn printed_help(path: &str) -> String {
    let words = path.split(' ').chain(["--help"]);
    let help = Cli::definition().term_width(COLUMNS).try_get_matches_from(words);
    help.expect_err("prints the help").render().to_string()
}

#[test]
fn the_definitions_are_consistent() {
    Cli::definition().debug_assert();
}

#[test]
fn every_option_and_command_has_help() {
    for (path, command) in commands() {
        assert!(command.get_about().is_some(), "{path}");
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{path}: {}", argument.get_id());
        }
    }
}

/// Set `UPDATE_GOLDEN=1` to write the golden texts instead.
#[test]
fn the_help_of_every_command_is_the_golden_text_and_fits_80_columns() {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/help");
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    if update {
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).expect("the directory can be created");
    }
    let (mut names, mut too_wide) = (Vec::new(), Vec::new());
    for (path, command) in commands() {
        let text = printed_help(&path);
        let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let wrapped = after.lines().filter(|line| !text.contains(&format!("{line}\n")));
        too_wide.extend(wrapped.map(|line| format!("{path}: {line}")));
        let wide = text.lines().filter(|line| line.chars().count() > COLUMNS);
        too_wide.extend(wide.map(|line| format!("{path}: {line}")));
        let name = format!("{}.txt", path.replace(' ', "-"));
        let file = directory.join(&name);
        if update {
            fs::write(&file, &text).expect("the golden text can be written");
        }
        let golden = fs::read_to_string(&file).unwrap_or_default();
        assert!(text == golden, "{path}: the help differs from {}:\n{text}", file.display());
        names.push(name);
    }
    assert!(too_wide.is_empty(), "{too_wide:#?}");
    let files = fs::read_dir(&directory).expect("there are golden texts");
    for file in files {
        let name = file.expect("can be listed").file_name().to_string_lossy().into_owned();
        assert!(names.contains(&name), "{name} is the help of no command");
    }
}
