use std::time::Duration;

use meridian_agent::driver::{CommandTemplate, CommandTemplates};

use super::*;

#[test]
fn an_unknown_or_incomplete_driver_is_refused() {
    for (line, message) in [
        (
            "driver = \"k8s\"",
            "agent.toml line 3: invalid driver \"k8s\": use builtin, command or docker",
        ),
        ("driver = \"command\"", "driver_template is not set"),
    ] {
        assert_eq!(refusal(&format!("{MINIMAL}{line}\n"), Values::default()), message);
    }
}

#[cfg(not(feature = "docker"))]
#[test]
fn a_driver_that_is_not_built_in_is_refused_with_the_build_command() {
    assert_eq!(
        refusal(&format!("{MINIMAL}driver = \"docker\"\n"), Values::default()),
        "agent.toml line 3: invalid driver \"docker\": this binary was built without the driver: \
         build it with `cargo build --release --features docker`"
    );
}

#[cfg(feature = "docker")]
#[test]
fn the_docker_driver_requires_an_image_and_valid_names() {
    let text = format!("{MINIMAL}driver = \"docker\"\n");
    assert_eq!(refusal(&text, Values::default()), "docker_image is not set");
    let text = format!("{text}docker_image = \"meridian:0.1.0\"\n");
    let config = resolve(&text, Values::default()).expect("valid configuration");
    let expected = UnitDriver::Docker(Containers {
        socket: "/var/run/docker.sock".into(),
        image: "meridian:0.1.0".parse().expect("valid name"),
        network: "host".parse().expect("valid name"),
        memory: None,
    });
    assert_eq!(config.driver, expected);
    for (line, message) in [
        (
            "docker_network = \"a b\"",
            "invalid docker_network \"a b\": write a network of 1 to 255 letters, digits and \
             ._-, which begins and ends with a letter or digit",
        ),
        (
            "docker_memory_bytes = 1000",
            "invalid docker_memory_bytes \"1000\": use 0 or at least 6291456",
        ),
    ] {
        assert_eq!(
            refusal(&format!("{text}{line}\n"), Values::default()),
            format!("agent.toml line 5: {message}")
        );
    }
}

#[test]
fn service_managers_give_an_agent_more_time_to_stop_than_it_needs() {
    let read = |file: &str, key: &str| -> Duration {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
        let text = std::fs::read_to_string(path).expect("readable");
        let value = text.lines().find_map(|line| line.trim().strip_prefix(key));
        let seconds = value.map(|value| value.trim().trim_end_matches('s').parse());
        Duration::from_secs(seconds.expect("the key is in the file").expect("seconds"))
    };
    let config = resolve(MINIMAL, Values::default()).expect("valid configuration");
    let needed = config.shutdown_timeout();
    assert_eq!(needed, Duration::from_secs(22), "docs/operating.md states it");
    assert!(read("docker-compose.yml", "stop_grace_period:") > needed);
    assert!(read("deploy/meridian-agent.service", "TimeoutStopSec=") > needed);
}

#[test]
fn the_longest_drain_timeout_of_a_template_bounds_the_shutdown() {
    let drain = |drain_timeout_ms| CommandTemplate { drain_timeout_ms, ..CommandTemplate::nginx() };
    let templates = CommandTemplates::new(vec![drain(60_000), drain(1_000)]);
    let driver = UnitDriver::Command(templates.expect("valid templates"));
    assert_eq!(driver.stop_timeout(), Duration::from_secs(62));
}

#[test]
fn a_driver_template_is_relative_to_the_file_and_its_errors_are_named() {
    let root = tempfile::tempdir().expect("temporary directory");
    let agent = root.path().join("agent.toml");
    let text = format!("{MINIMAL}driver = \"command\"\ndriver_template = \"units.toml\"\n");
    let read = |template: &str| {
        std::fs::write(root.path().join("units.toml"), template).expect("writable");
        let values = file::parse(&agent, &text).expect("valid file");
        AgentConfig::resolve(&values.over(Values::defaults())).map(|config| config.driver)
    };
    let nginx = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/units.nginx.toml");
    let nginx = std::fs::read_to_string(nginx).expect("readable");
    let templates = CommandTemplates::new(vec![CommandTemplate::nginx()]).expect("valid templates");
    assert_eq!(read(&nginx).expect("valid file"), UnitDriver::Command(templates));

    let error = read("[[template]]\nprogram = \"nginx\"\n").expect_err("invalid").to_string();
    assert!(error.contains("agent.toml line 4: invalid driver_template"), "{error}");
    assert!(
        error.contains("template 1: program is \"nginx\", which is not an absolute path"),
        "{error}"
    );
    let error = read("[[template]]\nprogram = 5\n").expect_err("invalid").to_string();
    assert!(error.contains("line 2: invalid type: integer `5`"), "{error}");
}
