//! Shell completion and man pages, generated from the definitions of the commands.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap_complete::Shell;

use super::Cli;
use crate::exit;

/// Prints the completion script of a shell.
pub fn completion(shell: Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::definition(), "meridian", &mut script);
    exit::print(&script)
}

/// Prints the version.
pub fn version() -> ExitCode {
    exit::print(Cli::definition().render_version().as_bytes())
}

/// Writes a man page for each command to a directory, which is created if necessary.
pub fn man_pages(directory: &Path) -> ExitCode {
    match write_man_pages(directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = format!("cannot write man pages to {}: {error}", directory.display());
            exit::report(&cause, "use a directory that can be written");
            ExitCode::from(exit::REFUSED)
        }
    }
}

fn write_man_pages(directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    clap_mangen::generate_to(Cli::definition(), directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::commands;

    #[test]
    fn every_command_has_a_man_page() {
        let directory = tempfile::tempdir().expect("a temporary directory can be created");
        write_man_pages(directory.path()).expect("can be written");
        for (path, _) in commands().into_iter().filter(|(_, command)| !command.is_hide_set()) {
            let page = format!("{}.1", path.replace(' ', "-"));
            let text = std::fs::read_to_string(directory.path().join(&page)).expect(&page);
            assert!(text.contains(".SH SYNOPSIS"), "{page}");
        }
    }

    #[test]
    fn completion_knows_the_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::definition(), "meridian", &mut script);
            let script = String::from_utf8(script).expect("is text");
            assert!(script.contains("transfer-leader"), "{shell}");
        }
    }
}
