use super::*;

#[test]
fn an_invalid_file_is_refused_with_the_line_and_the_rule() {
    for (line, message) in [
        ("regoin = \"x\"", "agent.toml line 3: unknown key \"regoin\"; the nearest is \"region\""),
        (
            "peer-listen = 1",
            "agent.toml line 3: unknown key \"peer-listen\"; the nearest is \"peer_listen\"",
        ),
        ("zzyzx = 1", "agent.toml line 3: unknown key \"zzyzx\""),
        ("witness = \"yes\"", "agent.toml line 3: witness must be true or false, without quotes"),
        (
            "keep_entries = \"5\"",
            "agent.toml line 3: keep_entries must be an integer without quotes",
        ),
        ("data_dir = 5", "agent.toml line 3: data_dir must be a string in quotes"),
        (
            "join = \"a:1\"",
            "agent.toml line 3: join must be a list of strings, such as [\"10.1.0.4:7400\"]",
        ),
        (
            "zone = 10",
            "agent.toml line 3: invalid zone \"10\": zone must be between 1 and 9, got 10",
        ),
        (
            "snapshot_after_entries = 0",
            "agent.toml line 3: invalid snapshot_after_entries \"0\": the minimum is 1",
        ),
        (
            "keep_entries = -1",
            "agent.toml line 3: invalid keep_entries \"-1\": use an integer of at least 0",
        ),
        ("network = \"moon\"", "agent.toml line 3: invalid network \"moon\": use lan or wan"),
        (
            "log_format = \"xml\"",
            "agent.toml line 3: invalid log_format \"xml\": use auto, text or json",
        ),
        (
            "log_level = \"a=b=c\"",
            "agent.toml line 3: invalid log_level \"a=b=c\": error parsing level filter: expected one of \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\", or a number 0-5",
        ),
        (
            "client_listen = \"localhost:1\"",
            "agent.toml line 3: invalid client_listen \"localhost:1\": use IP:PORT, such as 127.0.0.1:7400 or [::1]:7400",
        ),
        (
            "client_listen = \"127.0.0.1:0\"",
            "agent.toml line 3: invalid client_listen \"127.0.0.1:0\": use IP:PORT, such as 127.0.0.1:7400 or [::1]:7400",
        ),
        (
            "peer_advertise = \"eu\"",
            "agent.toml line 3: invalid peer_advertise \"eu\": invalid address \"eu\": use HOST:PORT, such as 10.1.2.3:7400 or [2001:db8::1]:7400",
        ),
        (
            "gateway_listen = \"127.0.0.1:80\"",
            "agent.toml line 3: invalid gateway_listen \"127.0.0.1:80\": use an IP address without a port",
        ),
        (
            "gateway_advertise = \"a:80\"",
            "agent.toml line 3: invalid gateway_advertise \"a:80\": use a host name or an IP address, without a port",
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
fn an_unknown_log_level_is_refused() {
    assert_eq!(
        refusal(&format!("{MINIMAL}log_level = \"nonsense\"\n"), Values::default()),
        "agent.toml line 3: invalid log_level \"nonsense\": \"nonsense\" is not a level: use \
         error, warn, info, debug, trace or off, optionally followed by comma-separated overrides \
         such as openraft=debug"
    );
}

#[test]
fn invalid_toml_is_refused_with_the_line() {
    for text in ["name = \"a\"\nregion = \n", "name = \"a\"\nname = \"b\"\n"] {
        let message = refusal(text, Values::default());
        assert!(message.starts_with("agent.toml line 2: ") && !message.contains('\n'), "{message}");
    }
}

#[test]
fn an_invalid_flag_or_variable_is_named_in_the_error() {
    assert_eq!(
        refusal(MINIMAL, flags("--region=West_Europe")),
        "--region: invalid region \"West_Europe\": invalid region name \"west_europe\": \
         use lowercase letters, digits and hyphens, starting with a letter and ending with a letter \
         or digit"
    );
    assert_eq!(
        refusal(MINIMAL, variable("MERIDIAN_WITNESS", "maybe")),
        "MERIDIAN_WITNESS: invalid witness \"maybe\": provided string was not `true` or `false`"
    );
    assert_eq!(refusal("region = \"eastus\"", Values::default()), "name is not set");
}

#[test]
fn a_bootstrap_in_an_unknown_region_is_refused_with_the_nearest_names() {
    let text = "name = \"we-1\"\nregion = \"westeurop\"\nbootstrap = true\n";
    assert_eq!(
        refusal(text, Values::default()),
        "agent.toml line 2: invalid region \"westeurop\": unknown region; the nearest are \
         westeurope, westus, westus2"
    );
    assert_eq!(
        refusal(MINIMAL, flags("--region zzyzx --bootstrap-peers 127.0.0.1:1,127.0.0.1:2")),
        "--region: invalid region \"zzyzx\": unknown region; `meridian region catalog` lists all \
         regions"
    );
}

#[test]
fn an_agent_of_an_existing_cluster_may_be_in_a_region_defined_there() {
    for start in ["--join 127.0.0.1:1", ""] {
        let config = resolve(MINIMAL, flags(&format!("--region contoso-lab {start}")));
        assert_eq!(config.expect("is accepted").region.as_str(), "contoso-lab");
    }
}

#[test]
fn an_agent_listens_beyond_loopback_only_if_insecure_is_set() {
    for key in ["client_listen", "peer_listen", "http_listen", "gateway_listen"] {
        let value = if key == "gateway_listen" { "10.1.2.3" } else { "10.1.2.3:7" };
        let text = format!("{MINIMAL}{key} = \"{value}\"\n");
        assert_eq!(
            refusal(&text, Values::default()),
            format!(
                "agent.toml line 3: {key} is {value}, which is not a loopback address, and connections \
                 are neither encrypted nor authenticated yet"
            )
        );
        resolve(&text, flags("--insecure")).expect("insecure is set");
        resolve(&text.replace("10.1.2.3", "127.0.1.9"), Values::default()).expect("loopback");
    }
}

#[test]
fn a_wildcard_listening_address_requires_an_advertised_address() {
    let listen = flags("--insecure --peer-listen 0.0.0.0:7401");
    assert_eq!(
        refusal(MINIMAL, listen.clone()),
        "--peer-listen: others cannot dial 0.0.0.0:7401, so peer_advertise must be set"
    );
    let both = flags("--peer-advertise eu.example.net:99").over(listen);
    let peer = resolve(MINIMAL, both).expect("dialable").peer;
    assert_eq!(peer.advertise.as_str(), "eu.example.net:99");
    let version_6 = flags("--gateway-listen ::1 --client-listen [::1]:7400");
    let config = resolve(MINIMAL, version_6).expect("dialable");
    assert_eq!(config.gateway_advertise, "[::1]");
    assert_eq!(config.client.advertise.as_str(), "[::1]:7400");
}
