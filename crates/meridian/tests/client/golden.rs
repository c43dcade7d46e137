//! The output of every command, as a golden text: standard output, standard error and the exit code.
//! Set `UPDATE_GOLDEN=1` to write the texts instead.

mod scene;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use meridian_domain::limits::Limits;
use meridian_domain::{
    Event, NodeId, Preference, RegionName, Revision, RoutingPolicy, ServiceName, Tier,
    WhenDisabled, Zones,
};

use crate::fake::{Agent, Reply};
use crate::run::{Run, run};

/// Width of the terminal that every default output has to fit.
const COLUMNS: usize = 80;

/// Commands whose output is another document, or that need agents or data of their own.
const WITHOUT: [&str; 5] = [
    "meridian-call",
    "meridian-completion",
    "meridian-man",
    "meridian-dev-attach",
    "meridian-recover",
];

/// Command lines that change nothing.
const READS: [&str; 26] = [
    "version",
    "status",
    "status -o wide",
    "service list",
    "service list -o wide",
    "service show",
    "region list",
    "region list -o wide",
    "region catalog",
    "region catalog -o wide",
    "api list",
    "api list -o wide",
    "api show orders",
    "unit list",
    "unit list -o wide",
    "cluster members",
    "cluster members -o wide",
    "cluster limits show",
    "route",
    "route --near francecentral -o wide",
    "route --client-ip 198.51.100.7",
    "route --from 48.85,2.35",
    "route --without westeurope",
    "dns show",
    "dns delegation",
    "network list",
];

/// Command lines that change something, with the event that they cause.
fn changes() -> Vec<(&'static str, Event)> {
    let (service, eastus) = (scene::service_name("contoso"), scene::region_name("eastus"));
    let agent = scene::agent_name("eastus-1");
    let scaled =
        |units| Event::UnitsScaled { service: service.clone(), region: eastus.clone(), units };
    let added = Event::RegionAdded {
        service: service.clone(),
        region: eastus.clone(),
        units: 2,
        zones: Zones::default(),
    };
    let created = Event::ServiceCreated {
        service: scene::service_name("fabrikam"),
        tier: Tier::Premium,
        primary: eastus.clone(),
        port: 8081,
    };
    let (of, at) = (service.clone(), eastus.clone());
    let location = |event: fn(ServiceName, RegionName) -> Event| event(of.clone(), at.clone());
    let drained = Event::AgentDrained { agent: agent.clone() };
    let removed_api = Event::ApiRemoved { service: service.clone(), api: scene::api().name };
    vec![
        ("service create fabrikam --primary eastus", created),
        (
            "service update contoso --tier standard",
            Event::TierChanged { service: service.clone(), tier: Tier::Standard },
        ),
        ("service delete contoso --yes", Event::ServiceDeleted { service: service.clone() }),
        ("region add eastus --units 2", added.clone()),
        ("region add eastus --units 2 --wait --wait-timeout 500ms", added),
        ("region scale eastus --units 3", scaled(3)),
        ("region scale eastus --units 3 --dry-run", scaled(3)),
        ("region scale westeurope --units 3 --wait", scaled(3)),
        ("region set eastus=3", scaled(3)),
        (
            "region remove eastus --yes",
            location(|service, region| Event::RegionRemoved { service, region }),
        ),
        (
            "region promote eastus",
            location(|service, region| Event::PrimaryPromoted { service, region }),
        ),
        (
            "region enable eastus",
            location(|service, region| Event::GatewayEnabled { service, region }),
        ),
        (
            "region disable eastus --yes",
            location(|service, region| Event::GatewayDisabled { service, region }),
        ),
        (
            "region define moon --display-name Moon --latitude 0.5 --longitude 23.5",
            Event::RegionDefined { region: scene::moon() },
        ),
        (
            "api publish orders --path /orders --backend http://10.0.0.7:8080",
            Event::ApiPublished { service: service.clone(), api: scene::api() },
        ),
        ("api remove orders --yes", removed_api),
        ("agent drain eastus-1 --yes", drained.clone()),
        ("agent drain eastus-1 --dry-run", drained),
        ("cluster remove eastus-1 --yes", Event::AgentRemoved { agent, node: NodeId(255) }),
        ("cluster limits set --premium-units 20", Event::LimitsSet { limits: Limits::default() }),
        (
            "cluster trim-history --through 4096 --yes",
            Event::HistoryTrimmed { through: Revision(4_096) },
        ),
    ]
    .into_iter()
    .chain(routing_changes())
    .collect()
}

fn routing_changes() -> [(&'static str, Event); 7] {
    let (service, eastus) = (scene::service_name("contoso"), scene::region_name("eastus"));
    let rolled = Event::RollStarted { service: service.clone(), region: eastus.clone() };
    [
        ("unit roll", rolled),
        (
            "service update contoso --routing priority",
            Event::RoutingChanged { service: service.clone(), routing: RoutingPolicy::Priority },
        ),
        (
            "service update contoso --when-disabled redirect",
            Event::WhenDisabledChanged {
                service: service.clone(),
                when_disabled: WhenDisabled::Redirect,
            },
        ),
        (
            "region scale eastus --weight 0",
            Event::PreferenceChanged {
                service: service.clone(),
                region: eastus.clone(),
                preference: Preference { weight: 0, ..Preference::default() },
            },
        ),
        ("dns set --ttl 10", Event::DnsSet { settings: scene::dns() }),
        ("network set 10.1.0.0/16=eastus", scene::network_assigned()),
        ("network remove 10.1.0.0/16 --yes", scene::network_removed()),
    ]
}

#[tokio::test]
async fn the_output_of_every_command_is_the_golden_text_and_fits_80_columns() {
    let mut texts = BTreeMap::<String, String>::new();
    let mut add = |line: &str, agent: &Agent, run: &Run| {
        let text = text(line, agent, run);
        let wide: Vec<_> = run.out.lines().filter(|line| line.chars().count() > COLUMNS).collect();
        // Sentences about events are truncated on a terminal only.
        let is_table = READS.contains(&line) && !line.contains("wide");
        assert!(!is_table || wide.is_empty(), "{line}: {wide:#?}");
        *texts.entry(file_of(line)).or_default() += &text;
    };
    for line in READS {
        let agent = scene::agent([]).await;
        add(line, &agent, &execute(&agent, line).await);
    }
    let agent = scene::agent([]).await.with_streams([scene::events()]);
    add("events", &agent, &execute(&agent, "events").await);
    for line in [
        "cluster join 10.0.0.4:7401",
        "cluster readdress japaneast-1 10.0.0.4:7401",
        "cluster transfer-leader",
        "cluster snapshot",
    ] {
        let agent = scene::agent([]).await.with_members(scene::joining());
        add(line, &agent, &execute(&agent, line).await);
    }
    for (line, event) in changes() {
        let agent = scene::agent([Reply::Accept(scene::accepted(&event))]).await;
        add(line, &agent, &execute(&agent, line).await);
    }
    for (line, agent) in scene::without_leader().await {
        add(line, &agent, &execute(&agent, line).await);
    }
    compare(&texts);
}

async fn execute(agent: &Agent, line: &str) -> Run {
    let words: Vec<&str> = line.split(' ').collect();
    run(&agent.endpoints(), &words).await
}

/// The run as text. What differs from run to run is replaced.
fn text(line: &str, agent: &Agent, run: &Run) -> String {
    let (out, err, code) = (&run.out, &run.err, run.code.unwrap_or(-1));
    let mut text = format!("$ meridian {line}\n{out}");
    if !err.is_empty() {
        text += &format!("[standard error]\n{err}");
    }
    text += &format!("[exit {code}]\n\n");
    for id in agent.request_ids().iter().filter(|id| !id.is_empty()) {
        text = text.replace(id, "REQUEST");
    }
    for (found, name) in [
        (agent.endpoint.as_str(), "ENDPOINT"),
        (env!("CARGO_PKG_VERSION"), "VERSION"),
        (env!("CARGO_BIN_EXE_meridian"), "meridian"),
    ] {
        text = text.replace(found, name);
    }
    match text.split_once("converged in ") {
        Some((before, after)) => {
            let (_, rest) = after.split_once('\n').unwrap_or_default();
            format!("{before}converged in TIME\n{rest}")
        }
        None => text,
    }
}

/// The golden file of a command: the same name as that of its help.
fn file_of(line: &str) -> String {
    let mut name = String::from("meridian");
    for word in line.split(' ') {
        let longer = format!("{name}-{word}");
        if !golden("help").join(format!("{longer}.txt")).exists() {
            break;
        }
        name = longer;
    }
    name
}

fn golden(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(kind)
}

/// Compares the texts with the golden ones, and requires one of each command.
fn compare(texts: &BTreeMap<String, String>) {
    let directory = golden("output");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).expect("the directory can be created");
        for (name, text) in texts {
            fs::write(directory.join(format!("{name}.txt")), text).expect("can be written");
        }
    }
    for (name, text) in texts {
        let golden = fs::read_to_string(directory.join(format!("{name}.txt")));
        assert_eq!(golden.as_deref().unwrap_or_default(), text, "{name}");
    }
    let helps = fs::read_dir(golden("help")).expect("there is help");
    for help in helps.map(|help| help.expect("can be read").path()) {
        let is_group = fs::read_to_string(&help).expect("can be read").contains("\nCommands:\n");
        let name = help.file_stem().expect("has a name").to_string_lossy().into_owned();
        let has_text = texts.contains_key(&name) || WITHOUT.contains(&name.as_str());
        assert!(is_group || has_text, "{name} has no golden output");
    }
}
