use super::*;
use crate::config::key::find;

const EXAMPLE_HEAD: &str = "\
Configuration of an agent: meridian agent --config agent.toml

Each key is also a flag (peer_listen: --peer-listen) and an environment variable \
(MERIDIAN_PEER_LISTEN). Flags override variables, variables override this file, and this file \
overrides the defaults. Commented-out keys show their default, or an example if there is none. To \
print the effective values and their origins: meridian agent --config agent.toml --check-config";

/// Renders the expected example file.
fn example() -> String {
    let mut values = Values::default();
    for key in ["name", "region"].into_iter().filter_map(find) {
        values.set(key, vec![key.example.to_owned()], values::Origin::Default);
    }
    render::file(EXAMPLE_HEAD, &values)
}

/// To update the file after a change, run the tests with MERIDIAN_BLESS=1.
#[test]
fn the_example_file_has_every_key_and_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/agent.example.toml");
    let expected = example();
    if std::env::var_os("MERIDIAN_BLESS").is_some() {
        std::fs::write(&path, &expected).expect("writable");
    }
    let found = std::fs::read_to_string(&path).expect("readable");
    assert_eq!(found, expected, "deploy/agent.example.toml does not match the keys");

    let uncommented: String = found
        .lines()
        .filter_map(|line| line.strip_prefix('#').filter(|line| !line.starts_with([' ', '#'])))
        .filter(|line| !line.is_empty())
        .map(|line| format!("{line}\n"))
        .collect();
    let shown = file::parse(Path::new(FILE), &uncommented).expect("valid when uncommented");
    let given = file::parse(Path::new(FILE), &found).expect("valid file");
    for key in &KEYS {
        assert!(given.get(key.name).or(shown.get(key.name)).is_some(), "{} is missing", key.name);
        if let Some(default) = key.default {
            assert_eq!(
                shown.text(key.name).map(|it| it.rsplit('/').next()),
                Some(default.rsplit('/').next())
            );
        }
    }
    AgentConfig::resolve(&given.over(Values::defaults())).expect("valid configuration");
}
