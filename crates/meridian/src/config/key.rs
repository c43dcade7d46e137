//! Keys of an agent's configuration: the one table behind the flags, the environment variables, the
//! file and the example.

/// A configuration key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Name in the file. The flag has hyphens instead of underscores; the environment variable is in
    /// upper case with the prefix `MERIDIAN_`.
    pub name: &'static str,
    /// Type of the value.
    pub kind: Kind,
    /// Default, as text; `None` for a required or optional key without one.
    pub default: Option<&'static str>,
    /// Example value, shown where there is no default.
    pub example: &'static str,
    /// Meaning, with the unit, the minimum and, if it is not a plain value, the default.
    pub help: &'static str,
}

/// Type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// An integer with this minimum.
    Number(u64),
    /// `true` or `false`; a flag without a value means `true`.
    Switch,
    /// Any number of strings, separated by commas in a flag or variable.
    List,
}

impl Key {
    /// Returns the flag, with its leading hyphens.
    #[must_use]
    pub fn flag(&self) -> String {
        format!("--{}", self.name.replace('_', "-"))
    }

    /// Returns the name of the environment variable.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("MERIDIAN_{}", self.name.to_ascii_uppercase())
    }

    /// Returns the placeholder of the value in help.
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

/// Finds a key by name.
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

const fn number(
    name: &'static str,
    minimum: u64,
    default: &'static str,
    help: &'static str,
) -> Key {
    Key { name, kind: Kind::Number(minimum), default: Some(default), example: default, help }
}

const fn switch(name: &'static str, help: &'static str) -> Key {
    Key { name, kind: Kind::Switch, default: Some("false"), example: "false", help }
}

const fn list(name: &'static str, example: &'static str, help: &'static str) -> Key {
    Key { name, kind: Kind::List, default: None, example, help }
}

/// All keys, in the order of the help and the example file.
pub const KEYS: [Key; 39] = [
    text(
        "name",
        "westeurope-1",
        "Name of the agent, unique in its cluster: 1 to 63 lowercase letters, digits and \
         hyphens. Required.",
    ),
    text(
        "region",
        "westeurope",
        "Region of the agent, from `meridian region catalog`. Cannot be changed after the \
         agent's first start. Required.",
    ),
    Key {
        name: "zone",
        kind: Kind::Number(1),
        default: None,
        example: "1",
        help: "Availability zone of the agent, 1 to 9. Cannot be changed after the agent's first start. \
               Default: none.",
    },
    switch(
        "witness",
        "Set for an agent that votes but never runs units, such as the third voter of a cluster \
         with two regions. Cannot be changed after the agent's first start.",
    ),
    defaulting(
        "data_dir",
        "meridian-data",
        "Directory of the agent's log and state. The agent must be its only user. In a file, a \
         relative path is relative to the file's directory.",
    ),
    defaulting(
        "network",
        "wan",
        "Network profile between the agents: `lan` for round-trip times of a few milliseconds, \
         `wan` for up to 300 ms. Must be the same on all agents of a cluster.",
    ),
    defaulting("client_listen", "127.0.0.1:7400", "Listening address for clients (gRPC): IP:PORT."),
    text(
        "client_advertise",
        "eu-1.example.net:7400",
        "Address under which clients reach client_listen: HOST:PORT. Default: client_listen, \
         unless that is a wildcard address.",
    ),
    defaulting(
        "peer_listen",
        "127.0.0.1:7401",
        "Listening address for other agents (gRPC): IP:PORT.",
    ),
    text(
        "peer_advertise",
        "eu-1.example.net:7401",
        "Address under which other agents reach peer_listen: HOST:PORT, resolved again for each \
         connection. Default: peer_listen, unless that is a wildcard address.",
    ),
    defaulting(
        "http_listen",
        "127.0.0.1:7480",
        "Listening address of the portal, of /healthz, /readyz and /metrics: IP:PORT.",
    ),
    list(
        "http_hosts",
        "gateways.example.net",
        "Host names under which browsers open the portal, such as that of a proxy before it. IP \
         addresses and localhost are always allowed; other names are refused, because a page of an \
         attacker could use one. Default: none.",
    ),
    defaulting(
        "gateway_listen",
        "127.0.0.1",
        "IP address that the gateways of this machine listen on; each service has its own port.",
    ),
    text(
        "gateway_advertise",
        "eu-1.example.net",
        "Host under which clients reach these gateways. Default: gateway_listen, unless that is \
         a wildcard address.",
    ),
    list(
        "dns_listen",
        "10.1.0.4:53",
        "Listening addresses of the agent's name server, UDP and TCP: IP:PORT. It serves the zone of \
         `meridian dns set`, and addresses on loopback only if it listens nowhere else. Default: no \
         name server.",
    ),
    text(
        "location_database",
        "city.mmdb",
        "File in MaxMind's format with the coordinates of networks, by which clients are located whose \
         network is not in `meridian network list`. Must be the same on all agents of a cluster. In a \
         file, a relative path is relative to the file's directory. Default: none; clients are in the \
         region of the agent that responds.",
    ),
    switch(
        "drain_on_stop",
        "Drain the units of this machine when the agent shuts down. Meant for containers, whose \
         processes all end together; elsewhere, units keep running without their agent, and its \
         next start adopts them.",
    ),
    defaulting(
        "driver",
        "builtin",
        "Driver of the units: `builtin`, the built-in gateway; `command`, any program from \
         driver_template; or `docker`, one container per unit, if this binary was built with \
         `--features docker`. Before a change, drain the running units (drain_on_stop).",
    ),
    text(
        "driver_template",
        "units.toml",
        "File with the templates of the `command` driver; deploy/units.nginx.toml is one for \
         nginx. Ignored by other drivers. In a file, a relative path is relative to the file's \
         directory.",
    ),
    text(
        "docker_image",
        "meridian:0.1.0",
        "Image of the `docker` driver's containers. Its entry point is this binary, as built by \
         deploy/Dockerfile; for https backends, it has the system's root certificates. The \
         engine must already have the image. Required for that driver; ignored by others.",
    ),
    defaulting(
        "docker_socket",
        "/var/run/docker.sock",
        "Unix socket of the Docker engine, which runs on this machine and sees data_dir under \
         the same path. Ignored by other drivers.",
    ),
    defaulting(
        "docker_network",
        "host",
        "Docker network from which units in containers connect to backends: `host`, which \
         reaches what this machine reaches; `bridge`; or a user-defined network. Clients connect \
         through the agent's listening socket in any case. Ignored by other drivers.",
    ),
    number(
        "docker_memory_bytes",
        0,
        "0",
        "Memory limit of a unit's container, in bytes; a unit above it is killed and restarted. \
         0 means no limit; otherwise Docker requires at least 6291456. Ignored by other drivers.",
    ),
    text(
        "unit_user",
        "meridian-units",
        "User as which an agent that runs as root runs its units: a name in /etc/passwd, or UID:GID. \
         The user needs access to this binary and the directories above data_dir. Ignored by the \
         `docker` driver. Before a change, drain the running units (drain_on_stop). Default: the \
         user of the agent.",
    ),
    number(
        "unit_concurrent_requests",
        0,
        "1024",
        "Maximum number of concurrent requests per unit; above it, a unit returns 503. 0 means \
         no limit.",
    ),
    number(
        "unit_requests_per_second",
        0,
        "0",
        "Maximum request rate per unit, in requests per second, with bursts of the same size; \
         above it, a unit returns 429. 0 means no limit.",
    ),
    number(
        "unit_header_bytes",
        0,
        "32768",
        "Maximum size of a request head, in bytes; above it, a unit returns 431. 0 means no \
         limit of its own.",
    ),
    number(
        "unit_body_bytes",
        0,
        "67108864",
        "Maximum size of a request body, in bytes; above it, a unit returns 413. 0 means no \
         limit.",
    ),
    number(
        "unit_header_timeout_ms",
        0,
        "30000",
        "Timeout for reading a request head, in milliseconds. 0 means no timeout.",
    ),
    defaulting(
        "access_log",
        "off",
        "Access log of the units, one JSON line per request in data_dir/run: `off`, `path`, or \
         `query`, which includes the query string and may log secrets.",
    ),
    list(
        "bootstrap_peers",
        "10.1.0.4:7401, 10.2.0.4:7401, 10.3.0.4:7401",
        "Peer addresses of all first members of a new cluster, this agent included. Must be the \
         same on all of them. Ignored once the data directory belongs to a cluster. Default: \
         this agent alone.",
    ),
    switch(
        "bootstrap",
        "Bootstrap the cluster once all bootstrap_peers are reachable. Set it on exactly one of \
         them. Ignored once the data directory belongs to a cluster.",
    ),
    list(
        "join",
        "10.1.0.4:7400, 10.2.0.4:7400",
        "Client addresses of agents whose cluster this agent joins. Once the data directory \
         belongs to a cluster, the addresses must be of that cluster. Default: none; the agent \
         waits for an invitation (`meridian cluster join`).",
    ),
    number(
        "snapshot_after_entries",
        1,
        "20000",
        "Number of log entries after which a snapshot is built and older entries may be purged. \
         At least 1. Must be the same on all agents of a cluster, any of which may lead.",
    ),
    number(
        "keep_entries",
        0,
        "5000",
        "Number of log entries already in a snapshot that are kept, so that an agent that was down \
         briefly catches up without a snapshot. Must be the same on all agents of a cluster, any of \
         which may lead.",
    ),
    number(
        "disk_floor_bytes",
        0,
        "268435456",
        "Minimum free space on the disk of data_dir, in bytes. An agent below it transfers leadership. \
         If no voter has more, only changes that free space are accepted. 0 means no minimum.",
    ),
    switch(
        "insecure",
        "Allow listening on addresses other than loopback. There is neither encryption nor \
         authentication yet: every client that reaches such an address controls the cluster.",
    ),
    defaulting(
        "log_format",
        "auto",
        "Format of the log on standard error: `text`, `json` (one object per line), or `auto`: \
         text on a terminal, JSON elsewhere.",
    ),
    defaulting(
        "log_level",
        "info",
        "Log level: `error`, `warn`, `info`, `debug`, `trace` or `off`, optionally followed by \
         comma-separated overrides such as `openraft=debug`. Libraries log less unless an \
         override names them.",
    ),
];
