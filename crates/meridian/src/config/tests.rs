use std::path::Path;

use clap::{Args, Command, FromArgMatches};
use meridian_agent::driver::{CommandTemplate, CommandTemplates};

use super::flags::Flags;
use super::key::KEYS;
use super::*;

const FILE: &str = "agent.toml";
const MINIMAL: &str = "name = \"we-1\"\nregion = \"westeurope\"\n";

/// What these flags give, without the environment of the test.
fn flags(line: &str) -> Values {
    let command = KEYS.iter().fold(Flags::augment_args(Command::new("agent")), |command, key| {
        command.mut_arg(key.name, |argument| argument.env(None::<&str>))
    });
    let words = std::iter::once("agent").chain(line.split_whitespace());
    let matches = command.try_get_matches_from(words).unwrap_or_else(|error| panic!("{error}"));
    Flags::from_arg_matches(&matches).expect("has no rules of its own").0
}

fn variable(name: &str, value: &str) -> Values {
    let key = KEYS.iter().find(|key| key.variable() == name).expect("there is such a variable");
    let mut values = Values::default();
    values.set(key, vec![value.to_owned()], values::Origin::Environment(name.to_owned()));
    values
}

fn resolve(text: &str, given: Values) -> Result<AgentConfig, ConfigError> {
    let from_file = file::parse(Path::new(FILE), text)?;
    AgentConfig::resolve(&given.over(from_file).over(Values::defaults()))
}

fn refusal(text: &str, given: Values) -> String {
    let error = resolve(text, given).expect_err("is refused");
    assert!(!error.next_step().is_empty());
    error.to_string()
}

#[test]
fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
    let listen =
        |text: &str, given| resolve(text, given).expect("is complete").client.listen.port();
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
        let argument = argument.expect("is a flag");
        assert_eq!(argument.get_long(), key.flag().strip_prefix("--"));
        assert_eq!(argument.get_env(), Some(key.variable().as_ref()));
    }
}

#[test]
fn what_is_not_given_has_its_documented_default() {
    let config = resolve(MINIMAL, Values::default()).expect("is complete");
    let address = |text: &str| text.parse::<Address>().expect("is an address");
    let expected = AgentConfig {
        name: "we-1".parse().expect("is a name"),
        region: "westeurope".parse().expect("is a name"),
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
        gateway_listen: [127, 0, 0, 1].into(),
        gateway_advertise: "127.0.0.1".to_owned(),
        drain_on_stop: false,
        driver: UnitDriver::Builtin,
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
fn a_bad_file_is_refused_with_the_line_and_the_rule() {
    for (line, message) in [
        (
            "regoin = \"x\"",
            "agent.toml line 3: there is no key \"regoin\"; the nearest is \"region\"",
        ),
        (
            "peer-listen = 1",
            "agent.toml line 3: there is no key \"peer-listen\"; the nearest is \"peer_listen\"",
        ),
        ("zzyzx = 1", "agent.toml line 3: there is no key \"zzyzx\""),
        ("witness = \"yes\"", "agent.toml line 3: witness has to be true or false, without quotes"),
        (
            "keep_entries = \"5\"",
            "agent.toml line 3: keep_entries has to be a whole number without quotes",
        ),
        ("data_dir = 5", "agent.toml line 3: data_dir has to be a text in quotes"),
        (
            "join = \"a:1\"",
            "agent.toml line 3: join has to be a list of texts, such as [\"10.1.0.4:7400\"]",
        ),
        (
            "zone = 10",
            "agent.toml line 3: zone cannot be \"10\": zone must be between 1 and 9, got 10",
        ),
        (
            "snapshot_after_entries = 0",
            "agent.toml line 3: snapshot_after_entries cannot be \"0\": it is at least 1",
        ),
        (
            "keep_entries = -1",
            "agent.toml line 3: keep_entries cannot be \"-1\": it is a whole number from 0",
        ),
        ("network = \"moon\"", "agent.toml line 3: network cannot be \"moon\": write lan or wan"),
        (
            "log_format = \"xml\"",
            "agent.toml line 3: log_format cannot be \"xml\": write auto, text or json",
        ),
        (
            "log_level = \"a=b=c\"",
            "agent.toml line 3: log_level cannot be \"a=b=c\": error parsing level filter: expected one of \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\", or a number 0-5",
        ),
        (
            "client_listen = \"localhost:1\"",
            "agent.toml line 3: client_listen cannot be \"localhost:1\": write IP:PORT, such as 127.0.0.1:7400 or [::1]:7400",
        ),
        (
            "client_listen = \"127.0.0.1:0\"",
            "agent.toml line 3: client_listen cannot be \"127.0.0.1:0\": write IP:PORT, such as 127.0.0.1:7400 or [::1]:7400",
        ),
        (
            "peer_advertise = \"eu\"",
            "agent.toml line 3: peer_advertise cannot be \"eu\": invalid address \"eu\": use HOST:PORT, such as 10.1.2.3:7400 or [2001:db8::1]:7400",
        ),
        (
            "gateway_listen = \"127.0.0.1:80\"",
            "agent.toml line 3: gateway_listen cannot be \"127.0.0.1:80\": write an IP address without a port",
        ),
        (
            "gateway_advertise = \"a:80\"",
            "agent.toml line 3: gateway_advertise cannot be \"a:80\": write a host name or an IP address, without a port",
        ),
        (
            "http_listen = \"127.0.0.1:7400\"",
            "client_listen and http_listen are both 127.0.0.1:7400",
        ),
    ] {
        assert_eq!(refusal(&format!("{MINIMAL}{line}\n"), Values::default()), message);
    }
}

#[test]
fn a_word_that_is_no_level_is_refused() {
    assert_eq!(
        refusal(&format!("{MINIMAL}log_level = \"nonsense\"\n"), Values::default()),
        "agent.toml line 3: log_level cannot be \"nonsense\": \"nonsense\" is not a level: write \
         error, warn, info, debug, trace or off, and behind commas exceptions such as openraft=debug"
    );
}

#[test]
fn what_is_no_toml_is_refused_with_the_line() {
    for text in ["name = \"a\"\nregion = \n", "name = \"a\"\nname = \"b\"\n"] {
        let message = refusal(text, Values::default());
        assert!(message.starts_with("agent.toml line 2: ") && !message.contains('\n'), "{message}");
    }
}

#[test]
fn a_bad_flag_or_variable_is_named_as_it_was_given() {
    assert_eq!(
        refusal(MINIMAL, flags("--region=West_Europe")),
        "--region: region cannot be \"West_Europe\": invalid region name \"west_europe\": use lowercase \
         letters, digits and hyphens, starting with a letter and ending with a letter or digit"
    );
    assert_eq!(
        refusal(MINIMAL, variable("MERIDIAN_WITNESS", "maybe")),
        "MERIDIAN_WITNESS: witness cannot be \"maybe\": provided string was not `true` or `false`"
    );
    assert_eq!(refusal("region = \"eastus\"", Values::default()), "name is not given");
}

#[test]
fn an_agent_listens_beyond_loopback_only_where_told_that_this_is_insecure() {
    for key in ["client_listen", "peer_listen", "http_listen", "gateway_listen"] {
        let value = if key == "gateway_listen" { "10.1.2.3" } else { "10.1.2.3:7" };
        let text = format!("{MINIMAL}{key} = \"{value}\"\n");
        assert_eq!(
            refusal(&text, Values::default()),
            format!(
                "agent.toml line 3: {key} is {value}, which is not a loopback address, and there \
                 is neither encryption nor authentication yet"
            )
        );
        resolve(&text, flags("--insecure")).expect("was told");
        resolve(&text.replace("10.1.2.3", "127.0.1.9"), Values::default()).expect("is loopback");
    }
}

#[test]
fn a_wildcard_needs_an_address_that_others_can_dial() {
    let listen = flags("--insecure --peer-listen 0.0.0.0:7401");
    assert_eq!(
        refusal(MINIMAL, listen.clone()),
        "--peer-listen: others cannot dial 0.0.0.0:7401, so peer_advertise has to be given"
    );
    let both = flags("--peer-advertise eu.example.net:99").over(listen);
    let peer = resolve(MINIMAL, both).expect("can be dialled").peer;
    assert_eq!(peer.advertise.as_str(), "eu.example.net:99");
    let version_6 = flags("--gateway-listen ::1 --client-listen [::1]:7400");
    let config = resolve(MINIMAL, version_6).expect("can be dialled");
    assert_eq!(config.gateway_advertise, "[::1]");
    assert_eq!(config.client.advertise.as_str(), "[::1]:7400");
}

#[test]
fn an_agent_founds_or_joins_or_waits() {
    let start = |line: &str| resolve(MINIMAL, flags(line)).map(|config| config.start);
    let a = || vec!["a:1".parse::<Address>().expect("is an address")];
    let ab = || vec!["a:1".parse().expect("is an address"), "b:2".parse().expect("is one")];
    assert_eq!(start("--init").expect("founds"), Start::Found(Vec::new()));
    assert_eq!(start("--init --founders a:1,b:2").expect("founds"), Start::Found(ab()));
    assert_eq!(start("--join a:1 --join http://b:2").expect("joins"), Start::Join(ab()));
    assert_eq!(start("--founders a:1").expect("waits"), Start::Wait(a()));
    assert_eq!(
        start("--init --join a:1").expect_err("is both").to_string(),
        "--init says init, and --join says join: an agent either founds a cluster or joins one"
    );
    // The file of a founder whose disk was emptied says init for ever; a flag says otherwise.
    let founder = format!("{MINIMAL}init = true\n");
    let joins = resolve(&founder, flags("--join a:1")).expect("joins").start;
    assert_eq!(joins, Start::Join(a()));
}

#[test]
fn a_relative_data_directory_in_a_file_begins_at_the_file() {
    let values =
        file::parse(Path::new("/etc/meridian/a.toml"), "data_dir = \"data\"").expect("is good");
    assert_eq!(values.text("data_dir"), Some("/etc/meridian/data"));
    let absolute = file::parse(Path::new("/etc/a.toml"), "data_dir = \"/var/x\"").expect("is good");
    assert_eq!(absolute.text("data_dir"), Some("/var/x"));
}

#[test]
fn a_driver_is_one_that_there_is_and_has_what_it_needs() {
    for (line, message) in [
        (
            "driver = \"k8s\"",
            "agent.toml line 3: driver cannot be \"k8s\": write builtin, command or docker",
        ),
        ("driver = \"command\"", "driver_template is not given"),
    ] {
        assert_eq!(refusal(&format!("{MINIMAL}{line}\n"), Values::default()), message);
    }
}

#[cfg(not(feature = "docker"))]
#[test]
fn a_driver_that_was_left_out_is_refused_with_the_way_to_have_it() {
    assert_eq!(
        refusal(&format!("{MINIMAL}driver = \"docker\"\n"), Values::default()),
        "agent.toml line 3: driver cannot be \"docker\": this program was built without it: build \
         it with `cargo build --release --features docker`"
    );
}

#[cfg(feature = "docker")]
#[test]
fn containers_have_an_image_and_names_that_an_engine_can_be_told() {
    let said = format!("{MINIMAL}driver = \"docker\"\n");
    assert_eq!(refusal(&said, Values::default()), "docker_image is not given");
    let said = format!("{said}docker_image = \"meridian:0.1.0\"\n");
    let config = resolve(&said, Values::default()).expect("is complete");
    let expected = UnitDriver::Docker(Containers {
        socket: "/var/run/docker.sock".into(),
        image: "meridian:0.1.0".parse().expect("is a name"),
        network: "host".parse().expect("is a name"),
        memory: None,
    });
    assert_eq!(config.driver, expected);
    for (line, message) in [
        (
            "docker_network = \"a b\"",
            "docker_network cannot be \"a b\": write a network of 1 to 255 letters, digits and \
             ._-, which begins and ends with a letter or digit",
        ),
        (
            "docker_memory_bytes = 1000",
            "docker_memory_bytes cannot be \"1000\": it is 0 or at least 6291456",
        ),
    ] {
        assert_eq!(
            refusal(&format!("{said}{line}\n"), Values::default()),
            format!("agent.toml line 5: {message}")
        );
    }
}

#[test]
fn a_driver_template_is_read_from_beside_the_file_and_its_mistakes_are_named() {
    let root = tempfile::tempdir().expect("can be created");
    let agent = root.path().join("agent.toml");
    let said = format!("{MINIMAL}driver = \"command\"\ndriver_template = \"units.toml\"\n");
    let read = |template: &str| {
        std::fs::write(root.path().join("units.toml"), template).expect("can be written");
        let values = file::parse(&agent, &said).expect("is good");
        AgentConfig::resolve(&values.over(Values::defaults())).map(|config| config.driver)
    };
    let nginx = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/units.nginx.toml");
    let nginx = std::fs::read_to_string(nginx).expect("is there");
    let templates = CommandTemplates::new(vec![CommandTemplate::nginx()]).expect("are good");
    assert_eq!(read(&nginx).expect("is good"), UnitDriver::Command(templates));

    let error = read("[[template]]\nprogram = \"nginx\"\n").expect_err("is refused").to_string();
    assert!(error.contains("agent.toml line 4: driver_template cannot be"), "{error}");
    assert!(
        error.contains("template 1: program is \"nginx\", which is no absolute path"),
        "{error}"
    );
    let error = read("[[template]]\nprogram = 5\n").expect_err("is refused").to_string();
    assert!(error.contains("line 2: invalid type: integer `5`"), "{error}");
}

const EXAMPLE_HEAD: &str = "\
The configuration of an agent: meridian agent --config agent.toml

Each key is also a flag (peer_listen: --peer-listen) and an environment variable \
(MERIDIAN_PEER_LISTEN). A flag counts before a variable, that before this file, and this file before \
the default. Lines that begin with # and no blank show the defaults, or examples where there is \
none. To see what is in effect, and where it comes from: meridian agent --config agent.toml \
--check-config";

/// The example file, as it should be.
fn example() -> String {
    let mut values = Values::default();
    for key in ["name", "region"].into_iter().filter_map(find) {
        values.set(key, vec![key.example.to_owned()], values::Origin::Default);
    }
    render::file(EXAMPLE_HEAD, &values)
}

/// To write it anew after a change: run the tests with MERIDIAN_BLESS=1.
#[test]
fn the_example_file_has_every_key_and_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/agent.example.toml");
    let expected = example();
    if std::env::var_os("MERIDIAN_BLESS").is_some() {
        std::fs::write(&path, &expected).expect("can be written");
    }
    let found = std::fs::read_to_string(&path).expect("is there");
    assert_eq!(found, expected, "deploy/agent.example.toml is not what the keys say");

    let uncommented: String = found
        .lines()
        .filter_map(|line| line.strip_prefix('#').filter(|line| !line.starts_with([' ', '#'])))
        .filter(|line| !line.is_empty())
        .map(|line| format!("{line}\n"))
        .collect();
    let shown = file::parse(Path::new(FILE), &uncommented).expect("can be uncommented");
    let given = file::parse(Path::new(FILE), &found).expect("is a configuration");
    for key in &KEYS {
        assert!(given.get(key.name).or(shown.get(key.name)).is_some(), "{} is missing", key.name);
        if let Some(default) = key.default {
            assert_eq!(
                shown.text(key.name).map(|it| it.rsplit('/').next()),
                Some(default.rsplit('/').next())
            );
        }
    }
    AgentConfig::resolve(&given.over(Values::defaults())).expect("can be used as it is");
}

#[test]
fn what_is_in_effect_says_where_it_comes_from() {
    let values = layers(flags("--name a --region eastus"), None).expect("there is no file");
    let shown = render::in_effect(&values);
    assert!(shown.contains("name = \"a\"") && shown.contains("# --name\n"), "{shown}");
    assert!(shown.contains("http_listen = \"127.0.0.1:7480\"") && shown.contains("# the default"));
    file::parse(Path::new(FILE), &shown).expect("can be used as a file");
}
