//! Templates: which program is run for a unit, and how one talks to it.
//!
//! A file of templates is TOML, with a `[[template]]` for each. For a unit, the first counts whose
//! `service` and `region`, where it has them, are the unit's.

use std::collections::BTreeMap;
use std::path::PathBuf;

use meridian_domain::api::STATUS_PATH;
use meridian_domain::{RegionName, ServiceName};
use serde::Deserialize;

/// A program, as an operator describes it.
///
/// Placeholders: `{cluster}`, `{agent}`, `{service}`, `{region}`, `{slot}` and `{incarnation}` say
/// which unit it is; `{address}`, `{port}` and `{listen}` (both, as `127.0.0.1:8080`) where it
/// listens; `{directory}` is a directory of its own, also its working directory, and goes with it;
/// `{configuration_file}` is a file in there, and `{socket}` a path for a Unix socket of its own,
/// relative to there because such a path has at most 108 bytes (unix(7)). All values are checked
/// names, numbers or addresses. Each argument stays one argument, and no shell sees any.
///
/// The program has to stay in the foreground, and must not close its standard input: that is the
/// lock by which an agent's next life finds it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandTemplate {
    /// The service that it is for. Default: any.
    pub service: Option<ServiceName>,
    /// The region that it is for. Default: any.
    pub region: Option<RegionName>,
    /// The program, by its absolute path.
    pub program: PathBuf,
    /// Its arguments. Default: none.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Its environment, all of it: nothing of the agent's is passed on. Default: empty.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Who opens the listening socket. Default: the program.
    #[serde(default)]
    pub listener: ListenerSource,
    /// Its configuration file. Default: none; it serves whatever it serves.
    pub configuration: Option<ConfigFileTemplate>,
    /// A program and its arguments that refuse a bad configuration file, with an exit code other than
    /// 0, before it takes the place of the old one. Default: none.
    pub check: Option<Vec<String>>,
    /// How it is made to read its configuration file again. Default: not at all; it serves another
    /// configuration once it is started anew.
    pub reload: Option<Reload>,
    /// How one sees that it serves. Default: a connection to its address.
    #[serde(default)]
    pub ready: Probe,
    /// What has it finish its calls and end. Default: TERM.
    #[serde(default)]
    pub stop_signal: SignalName,
    /// Milliseconds that it may take for that before it is killed, with the calls that it still has.
    /// Default: 15,000.
    #[serde(default = "drain_limit_ms")]
    pub drain_limit_ms: u64,
}

fn drain_limit_ms() -> u64 {
    15_000
}

/// Who opens the listening socket of a unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListenerSource {
    /// The program, at `{address}` and `{port}`. Several on one port need `SO_REUSEPORT`; then
    /// connections that wait at one that closes are reset, unless `net.ipv4.tcp_migrate_req` is 1.
    #[default]
    Own,
    /// The agent: the program finds it at descriptor 3. All units of a port share it, so none of them
    /// takes waiting connections with it.
    Inherited,
}

/// What is in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ConfigFileTemplate {
    /// A reverse proxy's for nginx, see the module `nginx`.
    Nginx,
    /// The configuration in JSON: its revision, whether callers are served, and its APIs.
    Json,
    /// A text with placeholders; also `{revision}`, `{enabled}` (`true` or `false`) and `{apis}`.
    Text {
        /// The text. Without `{apis}`, it has no APIs.
        text: String,
        /// What `{apis}` has for each API, with `{api_name}`, `{api_path}`, `{api_backend}` and
        /// `{api_connect_timeout_ms}`, `{api_response_timeout_ms}`, `{api_idle_timeout_ms}`. None are
        /// there while callers are not served. Paths and backends may have any of
        /// ``-._~!$&'()*+,;=:@/[]``: they belong between double quotes.
        #[serde(default)]
        api: String,
    },
}

/// How a program is made to read its configuration file again.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Reload {
    /// By a signal to its first process.
    Signal(SignalName),
    /// By another program, with its arguments.
    Command(Vec<String>),
}

/// How one sees that a program serves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// The path of an HTTP request that is answered with a status from 200 to 299. Default: none; a
    /// connection is enough.
    pub http: Option<String>,
    /// Where it is asked. Default: at its address.
    #[serde(default)]
    pub at: ProbeAddress,
    /// What the answer's body has in it once it serves what it is to; with `{revision}`, the program
    /// itself says which configuration it serves. Default: any answer will do.
    pub answer: Option<String>,
}

/// Where a program is asked whether it serves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeAddress {
    /// At its address. Any unit on that port may answer.
    #[default]
    Address,
    /// At `{socket}`, which no other unit has.
    Socket,
}

/// A signal that programs take for an order.
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
    /// Debian's nginx, from version 1.18 on, as a reverse proxy before the backends of the APIs.
    ///
    /// It ends by `QUIT`, which finishes calls in flight but closes idle kept connections at once: a
    /// call that a client sends over one at that moment is lost to it.
    #[must_use]
    pub fn nginx() -> Self {
        let told = ["-e", "stderr", "-p", "{directory}/", "-c", "{configuration_file}"];
        let told = told.map(str::to_owned);
        let program = "/usr/sbin/nginx";
        let check = [program.to_owned(), "-t".to_owned(), "-q".to_owned()];
        Self {
            service: None,
            region: None,
            program: program.into(),
            arguments: told.to_vec(),
            environment: BTreeMap::from([("NGINX".to_owned(), "3;".to_owned())]),
            listener: ListenerSource::Inherited,
            configuration: Some(ConfigFileTemplate::Nginx),
            check: Some(check.into_iter().chain(told).collect()),
            reload: Some(Reload::Signal(SignalName::Hup)),
            ready: Probe {
                http: Some(STATUS_PATH.to_owned()),
                at: ProbeAddress::Socket,
                answer: Some("\"configuration\":{revision},".to_owned()),
            },
            stop_signal: SignalName::Quit,
            drain_limit_ms: drain_limit_ms(),
        }
    }
}
