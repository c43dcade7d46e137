//! Tests that the commands in README.md, CONTRIBUTING.md, `docs/` and the messages parse, and that the
//! links resolve.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;

use super::{Cli, arguments};
use crate::exit;

/// A Markdown file of the repository.
struct Document {
    path: PathBuf,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn documents() -> Vec<Document> {
    let top = ["README.md", "CONTRIBUTING.md"].map(|name| root().join(name));
    let docs = fs::read_dir(root().join("docs")).expect("docs/ exists").flatten();
    let docs =
        docs.map(|entry| entry.path()).filter(|path| path.extension() == Some("md".as_ref()));
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a document is readable");
        Document { path, text }
    };
    top.into_iter().chain(docs).map(read).collect()
}

impl Document {
    /// Simple commands of the `sh` blocks, without comments.
    fn commands(&self) -> Vec<String> {
        let blocks = self.text.split("```sh\n").skip(1);
        let blocks = blocks.map(|rest| rest.split("```").next().unwrap_or_default());
        let joined = blocks.map(|block| block.replace("\\\n", " "));
        let lines: Vec<String> = joined.flat_map(|block| lines(&block)).collect();
        let simple = lines.iter().flat_map(|line| line.split(['|', ';']));
        let simple = simple.flat_map(|part| part.split("&&"));
        simple.map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
    }

    /// Commands of `meridian` in the running text: `` `meridian status --check` ``.
    fn inline_commands(&self) -> Vec<String> {
        let prose = self.text.split("```").step_by(2);
        let code = prose.flat_map(|text| text.split('`').skip(1).step_by(2));
        code.filter(|code| code.starts_with("meridian ")).map(str::to_owned).collect()
    }

    /// Targets of the links to files of the repository.
    fn links(&self) -> Vec<&str> {
        let targets = self.text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        targets.filter(|target| !target.contains("://")).collect()
    }

    /// Anchors of the headings, as GitHub derives them.
    fn anchors(&self) -> BTreeSet<String> {
        let headings = self.text.lines().filter(|line| line.starts_with('#'));
        let slug = |heading: &str| -> String {
            let words = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
            words.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
        };
        headings.map(slug).collect()
    }
}

/// Lines of a block without their comments.
fn lines(block: &str) -> Vec<String> {
    let code = block.lines().map(|line| line.split(" #").next().unwrap_or_default().trim());
    code.filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

/// Words of a command, quotes removed. The documents quote no words with spaces.
fn words(command: &str) -> Vec<String> {
    let words = command.split_whitespace().map(|word| word.replace(['"', '\''], ""));
    words.skip_while(|word| word == "sudo" || word.contains('=')).collect()
}

#[test]
fn every_meridian_command_in_the_documents_parses() {
    let (definition, mut parsed) = (Cli::definition(), 0);
    for document in documents() {
        for command in document.commands().into_iter().chain(document.inline_commands()) {
            let words = words(&command);
            let Some(start) = words.iter().position(|word| {
                matches!(word.as_str(), "meridian" | "/meridian" | "target/release/meridian")
            }) else {
                continue;
            };
            let is_run = start == 0 || words[..start].contains(&"exec".to_owned());
            if !is_run {
                continue;
            }
            parsed += 1;
            let arranged = arguments::arrange(&definition, words[start..].iter().map(Into::into));
            match Cli::from_arranged(arranged.arguments) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::DisplayHelp => {}
                // The text names a group of commands.
                Err(error)
                    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {}
                Err(error) => panic!("{}: `{command}`: {error}", document.path.display()),
            }
        }
    }
    assert!(parsed > 20, "only {parsed} commands were found");
}

#[test]
fn every_package_binary_and_script_in_the_documents_exists() {
    let manifests: String = ["crates", "tests"]
        .iter()
        .flat_map(|folder| fs::read_dir(root().join(folder)).expect("exists").flatten())
        .map(|entry| entry.path().join("Cargo.toml"))
        .chain([root().join("tests/Cargo.toml"), root().join("tests/power/shim/Cargo.toml")])
        .filter_map(|path| fs::read_to_string(path).ok())
        .collect();
    let is_named = |name: &str| manifests.contains(&format!("name = \"{name}\""));
    for document in documents() {
        for command in document.commands() {
            let words = words(&command);
            for pair in words.windows(2) {
                let exists = match pair[0].as_str() {
                    "-p" | "--package" | "--bin" => is_named(&pair[1]) || pair[1] == "CRATE",
                    "--manifest-path" | "--file" | "bash" => root().join(&pair[1]).exists(),
                    _ => true,
                };
                assert!(exists, "{}: `{command}`: no {}", document.path.display(), pair[1]);
            }
            let script = words.first().filter(|word| word.starts_with("tests/"));
            let exists = script.is_none_or(|script| root().join(script).exists());
            assert!(exists, "{}: `{command}` does not exist", document.path.display());
        }
    }
}

#[test]
fn every_link_in_the_documents_resolves() {
    let documents = documents();
    for document in &documents {
        let folder = document.path.parent().expect("is in a folder");
        for link in document.links() {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { document.path.clone() } else { folder.join(path) };
            let target = target.canonicalize();
            let target = target.unwrap_or_else(|_| panic!("{}: {link}", document.path.display()));
            if anchor.is_empty() {
                continue;
            }
            let is_target =
                |other: &&Document| other.path.canonicalize().is_ok_and(|path| path == target);
            let found = documents.iter().find(is_target);
            let anchors = found.map(Document::anchors).unwrap_or_default();
            assert!(anchors.contains(anchor), "{}: {link}", document.path.display());
        }
    }
}

#[test]
fn the_glossary_has_every_exit_code() {
    let glossary = fs::read_to_string(root().join("docs/glossary.md")).expect("is readable");
    for (code, meaning) in exit::CODES {
        assert!(glossary.contains(&format!("| {code} | {meaning} |")), "{code}: {meaning}");
    }
}

/// Commands of `meridian` that messages and next steps name, from the sources.
fn suggested_commands() -> Vec<(PathBuf, String)> {
    let mut folders: Vec<PathBuf> = vec![root().join("crates")];
    let mut commands = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).expect("is readable").flatten().map(|entry| entry.path())
        {
            if path.is_dir() && !path.ends_with("tests") {
                folders.push(path);
            } else if path.extension() == Some("rs".as_ref()) {
                let text = fs::read_to_string(&path).expect("is readable").replace("\\\n", "");
                // Tests also have commands that are wrong on purpose.
                let text = text.split("#[cfg(test)]").next().unwrap_or_default();
                let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
                let code = code.flat_map(|line| line.split('`').skip(1).step_by(2));
                let named = code.filter(|code| {
                    let is_whole = !code.contains('"') && !code.contains("{command}");
                    code.starts_with("meridian ") && is_whole
                });
                commands.extend(named.map(|command| (path.clone(), command.to_owned())));
            }
        }
    }
    commands
}

/// The command with a value in place of each `{placeholder}`, as a number where one is needed.
fn filled(command: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in command.split_whitespace() {
        let after = words.last().map_or("", String::as_str);
        let numeric = ["--units", "--expect-revision", "--from", "--through"].contains(&after);
        let value = if numeric || word.contains('=') { "1" } else { "x" };
        let mut word = word.replace("{edits}", "x=1");
        while let (Some(start), Some(end)) = (word.find('{'), word.find('}')) {
            word.replace_range(start..=end, value);
        }
        words.push(if word == "N" { "1".to_owned() } else { word });
    }
    words.join(" ")
}

#[test]
fn every_command_that_a_message_suggests_parses() {
    let (definition, mut parsed) = (Cli::definition(), 0);
    for (path, command) in suggested_commands() {
        let words: Vec<String> = filled(&command).split(' ').map(str::to_owned).collect();
        let arranged = arguments::arrange(&definition, words.iter().map(Into::into));
        parsed += 1;
        match Cli::from_arranged(arranged.arguments) {
            Ok(_) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::DisplayHelp
                        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                        | ErrorKind::MissingRequiredArgument
                ) => {}
            Err(error) => panic!("{}: `{command}`: {error}", path.display()),
        }
    }
    assert!(parsed > 20, "only {parsed} commands were found");
}
