//! Every key of an agent's configuration: the one table behind the flags, the environment, the file
//! and the example.

/// A key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its name in the file. The flag has hyphens for underscores; the environment variable is in
    /// capitals, behind `MERIDIAN_`.
    pub name: &'static str,
    /// What kind of value it has.
    pub kind: Kind,
    /// The default, as it is written; none where the key has to be given or may be absent.
    pub default: Option<&'static str>,
    /// A value to show where there is no default.
    pub example: &'static str,
    /// What it means, with its unit, its minimum and, where it is not a plain value, its default.
    pub help: &'static str,
}

/// What kind of value a key has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// A whole number, at least this.
    Number(u64),
    /// `true` or `false`; a flag alone means `true`.
    Switch,
    /// Any number of texts, separated by commas in a flag or variable.
    List,
}

impl Key {
    /// The flag, with its hyphens.
    #[must_use]
    pub fn flag(&self) -> String {
        format!("--{}", self.name.replace('_', "-"))
    }

    /// The environment variable.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("MERIDIAN_{}", self.name.to_ascii_uppercase())
    }

    /// The placeholder for its value in help.
    #[must_use]
    pub fn placeholder(&self) -> &'static str {
        match self.kind {
            Kind::Text => "TEXT",
            Kind::Number(_) => "NUMBER",
            Kind::Switch => "true|false",
            Kind::List => "HOST:PORT,...",
        }
    }
}

/// The key of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

const fn text(name: &'static str, example: &'static str, help: &'static str) -> Key {
    Key { name, kind: Kind::Text, default: None, example, help }
}

const fn defaulting(name: &'static str, default: &'static str, help: &'static str) -> Key {
    Key { name, kind: Kind::Text, default: Some(default), example: default, help }
}

const fn number(name: &'static str, least: u64, default: &'static str, help: &'static str) -> Key {
    Key { name, kind: Kind::Number(least), default: Some(default), example: default, help }
}

const fn switch(name: &'static str, help: &'static str) -> Key {
    Key { name, kind: Kind::Switch, default: Some("false"), example: "false", help }
}

const fn list(name: &'static str, example: &'static str, help: &'static str) -> Key {
    Key { name, kind: Kind::List, default: None, example, help }
}

/// Every key, in the order in which people read about them.
pub const KEYS: [Key; 35] = [
    text(
        "name",
        "westeurope-1",
        "The agent's name, unique in its cluster: 1 to 63 lower-case letters, digits and hyphens. \
         Has to be given.",
    ),
    text(
        "region",
        "westeurope",
        "The region that the agent runs in, from `meridian region catalogue`. Fixed for the agent's \
         life. Has to be given.",
    ),
    Key {
        name: "zone",
        kind: Kind::Number(1),
        default: None,
        example: "1",
        help: "The availability zone that the agent runs in, 1 to 9. Fixed for the agent's life. \
               Default: none.",
    },
    switch(
        "witness",
        "Whether the agent only votes, and never runs units: so two regions still have a third \
         vote. Fixed for the agent's life.",
    ),
    defaulting(
        "data_dir",
        "meridian-data",
        "The directory that holds the agent's log and state, and nothing else. In a file, a relative \
         path begins at the file's directory.",
    ),
    defaulting(
        "network",
        "wan",
        "What lies between the agents: `lan` for round trips of a few milliseconds, `wan` for up to \
         300 ms. All agents of a cluster have the same.",
    ),
    defaulting(
        "client_listen",
        "127.0.0.1:7400",
        "Where the agent serves clients by gRPC: IP:PORT.",
    ),
    text(
        "client_advertise",
        "eu-1.example.net:7400",
        "Where clients reach that: HOST:PORT. Default: client_listen, where that is an address and \
         not a wildcard.",
    ),
    defaulting(
        "peer_listen",
        "127.0.0.1:7401",
        "Where the agent serves the other agents by gRPC: IP:PORT.",
    ),
    text(
        "peer_advertise",
        "eu-1.example.net:7401",
        "Where other agents reach that: HOST:PORT, looked up anew for each connection. Default: \
         peer_listen, where that is an address and not a wildcard.",
    ),
    defaulting(
        "http_listen",
        "127.0.0.1:7480",
        "Where the agent serves /healthz, /readyz and /metrics: IP:PORT.",
    ),
    defaulting(
        "gateway_listen",
        "127.0.0.1",
        "Where the gateways on this machine listen: an IP address; each service adds its port.",
    ),
    text(
        "gateway_advertise",
        "eu-1.example.net",
        "Under which host callers reach these gateways. Default: gateway_listen, where that is an \
         address and not a wildcard.",
    ),
    switch(
        "drain_on_stop",
        "Whether the units of this machine end with the agent, once they have finished their calls, \
         when it is told to stop. Meant for containers, which end whole; elsewhere units go on \
         without their agent, and its next start finds them.",
    ),
    defaulting(
        "driver",
        "builtin",
        "What runs the units of this machine: `builtin`, this program itself; `command`, any program \
         that driver_template describes; or `docker`, a container for each unit, where this program \
         was built with `--features docker`. While units run, they have to be stopped \
         (drain_on_stop) before it is changed.",
    ),
    text(
        "driver_template",
        "units.toml",
        "The file that says which programs the driver `command` runs, and how; \
         deploy/units.nginx.toml is one for nginx. Without meaning for other drivers. In a file, a \
         relative path begins at the file's directory.",
    ),
    text(
        "docker_image",
        "meridian:0.1.0",
        "The image whose containers are the units of the driver `docker`: its entry point is this \
         program, as deploy/Dockerfile builds it, and for backends by https it has the system's \
         roots. It has to be on the engine already. Has to be given for that driver; without meaning \
         for others.",
    ),
    defaulting(
        "docker_socket",
        "/var/run/docker.sock",
        "The Unix socket of the Docker engine, which runs on this machine and sees data_dir at the \
         same path. Without meaning for other drivers.",
    ),
    defaulting(
        "docker_network",
        "host",
        "The network of the engine from which units in containers call backends: `host`, from where \
         they reach what this machine does; `bridge`; or one that was made for it. Callers come by \
         the agent's listening socket, whatever this is. Without meaning for other drivers.",
    ),
    number(
        "docker_memory_bytes",
        0,
        "0",
        "Bytes of memory that one unit in a container may have; one that needs more is killed, and \
         started again. At least 0, which means no limit; a Docker engine takes no less than \
         6291456. Without meaning for other drivers.",
    ),
    number(
        "unit_concurrent_requests",
        0,
        "1024",
        "Calls that one unit of this machine takes at a time; one more is answered with 503. At \
         least 0, which means no limit.",
    ),
    number(
        "unit_requests_per_second",
        0,
        "0",
        "Calls that one unit takes in a second, with bursts of as many; one more is answered with \
         429. At least 0, which means no limit.",
    ),
    number(
        "unit_header_bytes",
        0,
        "32768",
        "Bytes in the head of a call; more is answered with 431. At least 0, which means no limit \
         of its own.",
    ),
    number(
        "unit_body_bytes",
        0,
        "67108864",
        "Bytes in the body of a call; more is answered with 413. At least 0, which means no limit.",
    ),
    number(
        "unit_header_timeout_ms",
        0,
        "30000",
        "Milliseconds for the head of a call to arrive. At least 0, which means no limit.",
    ),
    defaulting(
        "access_log",
        "off",
        "Whether units write a line of JSON for each call into their logs in data_dir/run: `off`, \
         `path`, or `query`: with the query, which may hold secrets.",
    ),
    list(
        "founders",
        "10.1.0.4:7401, 10.2.0.4:7401, 10.3.0.4:7401",
        "The peer addresses of all agents that found the cluster, this one included. The same for \
         all of them; without meaning once there is a cluster. Default: this agent alone.",
    ),
    switch(
        "init",
        "Whether this agent founds the cluster once all founders answer: exactly one of them. \
         Without meaning once the data directory belongs to a cluster.",
    ),
    list(
        "join",
        "10.1.0.4:7400, 10.2.0.4:7400",
        "Client addresses of agents through which this one joins their cluster. Once the data \
         directory belongs to a cluster, it has to be theirs. Default: none; the agent waits to be \
         invited.",
    ),
    number(
        "snapshot_after_entries",
        1,
        "20000",
        "Log entries after which a snapshot is built and older entries may be purged. At least 1.",
    ),
    number(
        "keep_entries",
        0,
        "5000",
        "Log entries kept behind a snapshot, so that an agent that was away briefly needs none. At \
         least 0.",
    ),
    number(
        "disk_floor_bytes",
        0,
        "268435456",
        "Bytes that must stay free on the disk of data_dir: below, changes are refused. At least 0, \
         which means no floor.",
    ),
    switch(
        "insecure",
        "Whether the agent may listen on addresses other than loopback, although there is neither \
         encryption nor authentication yet: whoever reaches such an address commands the cluster.",
    ),
    defaulting(
        "log_format",
        "auto",
        "How the log is written to standard error: `text`, `json` (an object a line), or `auto`: \
         text on a terminal and JSON elsewhere.",
    ),
    defaulting(
        "log_level",
        "info",
        "What is logged: `error`, `warn`, `info`, `debug` or `trace`, and behind commas exceptions \
         such as `openraft=debug` (libraries are quieter unless they are named).",
    ),
];
