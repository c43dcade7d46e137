//! Tests of sources, precedence and defaults; the submodules test validation, drivers and the example
//! file.

mod drivers;
mod example;
mod validation;

use std::path::Path;

use clap::{Args, Command, FromArgMatches};

use super::flags::Flags;
use super::key::KEYS;
use super::*;

const FILE: &str = "agent.toml";
const MINIMAL: &str = "name = \"we-1\"\nregion = \"westeurope\"\n";

/// Parses these flags, ignoring the environment of the test.
fn flags(line: &str) -> Values {
    let command = KEYS.iter().fold(Flags::augment_args(Command::new("agent")), |command, key| {
        command.mut_arg(key.name, |argument| argument.env(None::<&str>))
    });
    let words = std::iter::once("agent").chain(line.split_whitespace());
    let matches = command.try_get_matches_from(words).unwrap_or_else(|error| panic!("{error}"));
    Flags::from_arg_matches(&matches).expect("flags have no further rules").0
}

fn variable(name: &str, value: &str) -> Values {
    let key = KEYS.iter().find(|key| key.variable() == name).expect("known variable");
    let mut values = Values::default();
    values.set(key, vec![value.to_owned()], values::Origin::Environment(name.to_owned()));
    values
}

fn resolve(text: &str, given: Values) -> Result<AgentConfig, ConfigError> {
    let from_file = file::parse(Path::new(FILE), text)?;
    AgentConfig::resolve(&given.over(from_file).over(Values::defaults()))
}

fn refusal(text: &str, given: Values) -> String {
    let error = resolve(text, given).expect_err("invalid");
    assert!(!error.next_step().is_empty());
    error.to_string()
}

#[test]
fn a_flag_overrides_the_environment_overrides_the_file_overrides_the_default() {
    let listen =
        |text: &str, given| resolve(text, given).expect("valid configuration").client.listen.port();
    let with_file = format!("{MINIMAL}client_listen = \"127.0.0.1:2\"\n");
    let environment = || variable("MERIDIAN_CLIENT_LISTEN", "127.0.0.1:3");
    let flag = || flags("--client-listen 127.0.0.1:4");
    assert_eq!(listen(MINIMAL, Values::default()), 7400);
    assert_eq!(listen(&with_file, Values::default()), 2);
    assert_eq!(listen(&with_file, environment()), 3);
    assert_eq!(listen(&with_file, flag().over(environment())), 4);
}

#[test]
fn every_key_is_a_flag_and_a_variable() {
    let command = Flags::augment_args(Command::new("agent"));
    for key in &KEYS {
        let argument = command.get_arguments().find(|argument| argument.get_id() == key.name);
        let argument = argument.expect("has a flag");
        assert_eq!(argument.get_long(), key.flag().strip_prefix("--"));
        assert_eq!(argument.get_env(), Some(key.variable().as_ref()));
    }
}

#[test]
fn unset_keys_have_their_documented_defaults() {
    let config = resolve(MINIMAL, Values::default()).expect("valid configuration");
    let address = |text: &str| text.parse::<Address>().expect("valid address");
    let expected = AgentConfig {
        name: "we-1".parse().expect("valid name"),
        region: "westeurope".parse().expect("valid name"),
        zone: None,
        witness: false,
        data_dir: "meridian-data".into(),
        network: Profile::Wan,
        client: Port {
            listen: ([127, 0, 0, 1], 7400).into(),
            advertise: address("127.0.0.1:7400"),
        },
        peer: Port { listen: ([127, 0, 0, 1], 7401).into(), advertise: address("127.0.0.1:7401") },
        http: ([127, 0, 0, 1], 7480).into(),
        http_hosts: Vec::new(),
        gateway_listen: [127, 0, 0, 1].into(),
        gateway_advertise: "127.0.0.1".to_owned(),
        dns_listen: Vec::new(),
        location_database: None,
        drain_on_stop: false,
        driver: UnitDriver::Builtin,
        unit_user: None,
        limits: UnitLimits::default(),
        start: Start::Wait(Vec::new()),
        snapshot_after_entries: 20_000,
        keep_entries: 5_000,
        disk_floor_bytes: 256 << 20,
        log_format: LogFormat::Auto,
        log_level: "info".to_owned(),
    };
    assert_eq!(config, expected);
}

#[test]
fn an_agent_bootstraps_or_joins_or_waits() {
    let start = |line: &str| resolve(MINIMAL, flags(line)).map(|config| config.start);
    let a = || vec!["a:1".parse::<Address>().expect("valid address")];
    let ab = || ["a:1", "b:2"].map(|text| text.parse().expect("valid address")).to_vec();
    assert_eq!(start("--bootstrap").expect("bootstraps"), Start::Bootstrap(Vec::new()));
    assert_eq!(
        start("--bootstrap --bootstrap-peers a:1,b:2").expect("bootstraps"),
        Start::Bootstrap(ab())
    );
    assert_eq!(start("--join a:1 --join http://b:2").expect("joins"), Start::Join(ab()));
    assert_eq!(start("--bootstrap-peers a:1").expect("waits"), Start::Wait(a()));
    assert_eq!(
        start("--bootstrap --join a:1").expect_err("contradiction").to_string(),
        "--bootstrap sets bootstrap and --join sets join: an agent either bootstraps a cluster or \
         joins one"
    );
    // The file of a bootstrap agent whose disk was wiped still sets bootstrap; a flag overrides it.
    let bootstrap = format!("{MINIMAL}bootstrap = true\n");
    let joins = resolve(&bootstrap, flags("--join a:1")).expect("joins").start;
    assert_eq!(joins, Start::Join(a()));
}

#[test]
fn a_relative_path_in_a_file_is_relative_to_the_file() {
    let values =
        file::parse(Path::new("/etc/meridian/a.toml"), "data_dir = \"data\"").expect("valid file");
    assert_eq!(values.text("data_dir"), Some("/etc/meridian/data"));
    let absolute =
        file::parse(Path::new("/etc/a.toml"), "data_dir = \"/var/x\"").expect("valid file");
    assert_eq!(absolute.text("data_dir"), Some("/var/x"));
}

#[test]
fn effective_values_are_shown_with_their_origin() {
    let values = layers(flags("--name a --region eastus"), None).expect("no file");
    let shown = render::in_effect(&values);
    assert!(shown.contains("name = \"a\"") && shown.contains("# --name\n"), "{shown}");
    assert!(shown.contains("http_listen = \"127.0.0.1:7480\"") && shown.contains("# default"));
    file::parse(Path::new(FILE), &shown).expect("valid file");
}
