//! Templates: the program to run for a unit, and how to configure, probe and stop it.
//!
//! A file of templates is TOML, with a `[[template]]` section for each. A unit uses the first
//! template whose `service` and `region` match it. A template without them matches all units.

use std::collections::BTreeMap;
use std::path::PathBuf;

use meridian_domain::api::STATUS_PATH;
use meridian_domain::{RegionName, ServiceName};
use serde::Deserialize;

/// A program, as described by an operator.
///
/// Placeholders in arguments and environment:
///
/// - `{cluster}`, `{agent}`, `{service}`, `{region}`, `{slot}`, `{incarnation}`: the unit.
/// - `{address}`, `{port}`, `{listen}` (both, as `127.0.0.1:8080`): where it listens.
/// - `{directory}`: the unit's own directory. It is the working directory of the program and is
///   deleted with the unit.
/// - `{configuration_file}`: the configuration file, in that directory.
/// - `{socket}`: a path for a Unix socket of the unit, relative to that directory, because the path
///   of a socket has at most 108 bytes (unix(7)).
///
/// All values are validated names, numbers or addresses. Each argument stays one argument, and no
/// shell interprets it.
///
/// The program must stay in the foreground and must not close its standard input: it holds the lock
/// by which a restarted agent finds the program.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandTemplate {
    /// Service that the template is for. Default: any.
    pub service: Option<ServiceName>,
    /// Region that the template is for. Default: any.
    pub region: Option<RegionName>,
    /// Absolute path of the program.
    pub program: PathBuf,
    /// Arguments. Default: none.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Complete environment: nothing is inherited from the agent. Default: empty.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Source of the listening socket. Default: the program.
    #[serde(default)]
    pub listener: ListenerSource,
    /// Configuration file. Default: none; the program is not configured.
    pub configuration: Option<ConfigFileTemplate>,
    /// Command (program and arguments) that validates a configuration file before it replaces the
    /// current one. An exit code other than 0 rejects it. Default: none.
    pub check: Option<Vec<String>>,
    /// Method to reload the configuration file. Default: none; a new configuration takes effect at
    /// the next restart of the unit.
    pub reload: Option<Reload>,
    /// Probe for readiness and health. Default: a connection to the unit's address.
    #[serde(default)]
    pub ready: Probe,
    /// Signal that makes the program finish its requests in flight and exit. Default: TERM.
    #[serde(default)]
    pub stop_signal: SignalName,
    /// Time in milliseconds that a stopped program may take to exit before it is killed, together
    /// with its requests in flight. Default: 15,000.
    #[serde(default = "drain_timeout_ms")]
    pub drain_timeout_ms: u64,
}

fn drain_timeout_ms() -> u64 {
    15_000
}

/// Source of a unit's listening socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListenerSource {
    /// The program, at `{address}` and `{port}`. Several units on one port need `SO_REUSEPORT`. If
    /// one of them closes its socket, the connections queued there are reset, unless
    /// `net.ipv4.tcp_migrate_req` is 1.
    #[default]
    Own,
    /// The agent: the program inherits the socket as file descriptor 3. All units on a port share
    /// it, so no queued connection is lost when one of them exits.
    Inherited,
}

/// Content of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ConfigFileTemplate {
    /// A reverse proxy configuration for nginx; see the module `nginx`.
    Nginx,
    /// The configuration in JSON: its revision, whether the gateway is enabled, the gateways to which a
    /// disabled one may redirect, and its APIs.
    Json,
    /// A text with placeholders, with these in addition: `{revision}`, `{enabled}` (`true` or
    /// `false`) and `{apis}`.
    Text {
        /// The text. `{apis}` is replaced with the text for each API.
        text: String,
        /// The text for one API, with the placeholders `{api_name}`, `{api_path}`, `{api_backend}`,
        /// `{api_connect_timeout_ms}`, `{api_response_timeout_ms}` and `{api_idle_timeout_ms}`. Not
        /// used while the gateway is disabled. Paths and backends may contain any of
        /// ``-._~!$&'()*+,;=:@/[]``, so put them between double quotes.
        #[serde(default)]
        api: String,
    },
}

/// Method to make a program reload its configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Reload {
    /// A signal to the main process.
    Signal(SignalName),
    /// A command: a program and its arguments.
    Command(Vec<String>),
}

/// Probe of a program.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// Path of an HTTP request. A response with a status from 200 to 299 passes the probe. Default:
    /// none; an accepted connection passes.
    pub http: Option<String>,
    /// Address to probe. Default: the unit's address.
    #[serde(default)]
    pub at: ProbeAddress,
    /// Text that the response body contains once the program serves its configuration. With
    /// `{revision}` in it, the program itself confirms which configuration it serves. Default: any
    /// response.
    pub body_contains: Option<String>,
}

/// Address of a probe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeAddress {
    /// The unit's address. Any unit on that port may respond.
    #[default]
    Address,
    /// `{socket}`, which belongs to this unit alone.
    Socket,
}

/// A signal that a program can handle.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SignalName {
    /// `SIGHUP`.
    Hup,
    /// `SIGINT`.
    Int,
    /// `SIGQUIT`.
    Quit,
    /// `SIGTERM`.
    #[default]
    Term,
    /// `SIGUSR1`.
    Usr1,
    /// `SIGUSR2`.
    Usr2,
    /// `SIGWINCH`.
    Winch,
}

impl CommandTemplate {
    /// Debian's nginx, version 1.18 or later, as a reverse proxy in front of the backends of the
    /// APIs.
    ///
    /// It is stopped with `QUIT`, which finishes requests in flight but closes idle keep-alive
    /// connections immediately. A request that a client sends over such a connection at that moment
    /// is lost.
    #[must_use]
    pub fn nginx() -> Self {
        let options = ["-e", "stderr", "-p", "{directory}/", "-c", "{configuration_file}"];
        let options = options.map(str::to_owned);
        let program = "/usr/sbin/nginx";
        let check = [program.to_owned(), "-t".to_owned(), "-q".to_owned()];
        Self {
            service: None,
            region: None,
            program: program.into(),
            arguments: options.to_vec(),
            environment: BTreeMap::from([("NGINX".to_owned(), "3;".to_owned())]),
            listener: ListenerSource::Inherited,
            configuration: Some(ConfigFileTemplate::Nginx),
            check: Some(check.into_iter().chain(options).collect()),
            reload: Some(Reload::Signal(SignalName::Hup)),
            ready: Probe {
                http: Some(STATUS_PATH.to_owned()),
                at: ProbeAddress::Socket,
                body_contains: Some("\"configuration\":{revision},".to_owned()),
            },
            stop_signal: SignalName::Quit,
            drain_timeout_ms: drain_timeout_ms(),
        }
    }
}
