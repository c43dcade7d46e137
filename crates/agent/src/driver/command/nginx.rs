//! nginx as a unit: a reverse proxy in front of the backends of a service's APIs.
//!
//! Differences from a built-in unit:
//!
//! - There is no limit on requests in flight or per second.
//! - A backend's name is resolved when the configuration is loaded. If a name cannot be resolved,
//!   nginx does not load the configuration, and a new unit does not start.
//! - nginx decodes and re-encodes the path of a request before it forwards it.
//! - The response timeout and the idle timeout of a backend are one timeout, the longer of the two.
//! - Load and metrics are not reported.
//! - HTTP/2 is not supported on either side. An API with an h2c backend makes the whole
//!   configuration invalid.

use std::fmt::Write as _;

use meridian_domain::Configuration;
use meridian_domain::api::STATUS_PATH;
use meridian_domain::configuration::ConfiguredApi;

use super::pattern::Values;
use crate::driver::UnitLimits;

/// Maximum number of connections of a worker without a limit on requests.
const CONNECTIONS: u32 = 16_384;
/// Unprivileged users of web servers, in the order of preference.
const WORKER_USERS: [&str; 3] = ["www-data", "nginx", "nobody"];
/// Certificate authorities, at the path of Debian and its derivatives.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// `Retry-After` of responses in a disabled region, in seconds.
const RETRY_AFTER_SECONDS: u32 = 1;

/// An API that nginx cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum UnsupportedBackend {
    /// nginx would take `$` for the start of a variable, and has no escape for it.
    #[error("nginx cannot serve API {api}: its backend contains a $")]
    Dollar {
        /// Name of the API.
        api: String,
    },
    /// Debian's nginx supports only HTTP/1.1 to backends, gRPC excepted.
    #[error("nginx cannot serve API {api}: it does not support HTTP/2 to backends")]
    Http2 {
        /// Name of the API.
        api: String,
    },
}

/// Renders the configuration file. Its paths are relative to the unit's directory, nginx's prefix.
pub(super) fn render(
    unit_values: &Values,
    configuration: &Configuration,
    limits: &UnitLimits,
) -> Result<String, UnsupportedBackend> {
    let mut file = String::new();
    let written = write!(
        file,
        "# Written by a Meridian agent; overwritten at each change.\n\
         daemon off;\n\
         {user}\
         worker_processes auto;\n\
         error_log stderr warn;\n\
         pid pid;\n\
         events {{ worker_connections {connections}; }}\n\
         http {{\n\
         access_log off;\n\
         server_tokens off;\n\
         client_body_temp_path client_body;\n\
         proxy_temp_path proxy;\n\
         fastcgi_temp_path fastcgi;\n\
         uwsgi_temp_path uwsgi;\n\
         scgi_temp_path scgi;\n\
         {limits}\
         map $http_upgrade $upgrades {{ default upgrade; '' ''; }}\n\
         proxy_http_version 1.1;\n\
         proxy_set_header Connection $upgrades;\n\
         proxy_set_header Upgrade $http_upgrade;\n\
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
         proxy_set_header X-Forwarded-Proto $scheme;\n\
         proxy_set_header X-Forwarded-Host $http_host;\n\
         proxy_request_buffering off;\n\
         proxy_max_temp_file_size 0;\n\
         {tls}\
         {status}\
         server {{\n\
         listen {listen};\n\
         listen unix:{socket};\n\
         location = {STATUS_PATH} {{ default_type application/json; return 200 $unit_status; }}\n\
         {locations}\
         }}\n\
         }}\n",
        user = user(),
        connections = connections(limits),
        limits = sizes(limits),
        tls = tls(configuration),
        listen = value(unit_values, "listen"),
        socket = value(unit_values, "socket"),
        status = status(unit_values, configuration),
        locations = locations(configuration)?,
    );
    written.expect("writing to a String does not fail");
    Ok(file)
}

/// Directive for the user of the workers, which read what strangers send. Only root can change it. If
/// the machine has none of these users, nginx takes its own default, and fails if that is missing.
fn user() -> String {
    if !rustix::process::geteuid().is_root() {
        return String::new();
    }
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    unprivileged_user(&read("/etc/passwd"), &read("/etc/group"))
        .map_or_else(String::new, |user| format!("user {user};\n"))
}

/// Returns the first of the usual users of web servers that is in `passwd`, with its group.
fn unprivileged_user(passwd: &str, group: &str) -> Option<String> {
    let field = |line: &str, number: usize| line.split(':').nth(number).map(str::to_owned);
    WORKER_USERS.into_iter().find_map(|name| {
        let user = passwd.lines().find(|line| field(line, 0).as_deref() == Some(name))?;
        let id = field(user, 3)?;
        let group = group.lines().find(|line| field(line, 2).as_ref() == Some(&id))?;
        Some(format!("{name} {}", field(group, 0)?))
    })
}

fn value<'a>(values: &'a Values, name: &str) -> &'a str {
    values.get(name).map_or("", String::as_str)
}

/// Connections per worker. A request uses two: one to the client and one to the backend.
fn connections(limits: &UnitLimits) -> u32 {
    match limits.concurrent_requests {
        0 => CONNECTIONS,
        requests => requests.saturating_mul(2).saturating_add(64),
    }
}

/// Limits on heads and bodies that nginx supports.
fn sizes(limits: &UnitLimits) -> String {
    let mut text = format!("client_max_body_size {};\n", limits.body_bytes);
    if limits.header_bytes > 0 {
        text += &format!("large_client_header_buffers 4 {};\n", limits.header_bytes.max(1_024));
    }
    if limits.header_timeout_ms > 0 {
        text += &format!("client_header_timeout {}ms;\n", limits.header_timeout_ms);
    }
    text
}

/// Directives for TLS to backends. Empty without an https backend, because nginx does not start if
/// the file of certificate authorities is missing.
fn tls(configuration: &Configuration) -> String {
    let is_tls = |api: &ConfiguredApi| api.backend.as_str().starts_with("https:");
    if !configuration.apis.iter().any(is_tls) {
        return String::new();
    }
    format!(
        "proxy_ssl_server_name on;\nproxy_ssl_verify on;\nproxy_ssl_verify_depth 9;\n\
         proxy_ssl_trusted_certificate {AUTHORITIES};\n"
    )
}

/// Map with the response bodies of the status path: the identity of the unit for its own machine, and
/// what a probe needs for others, including those whose requests a proxy on this machine forwarded.
/// The values are names and numbers, which contain no quotes.
fn status(unit_values: &Values, configuration: &Configuration) -> String {
    let value = |name: &str| value(unit_values, name);
    let (service, region, slot) = (value("service"), value("region"), value("slot"));
    let public = format!("\"service\":\"{service}\",\"region\":\"{region}\",\"ready\":true");
    format!(
        "map \"$remote_addr,$http_forwarded$http_x_forwarded_for$http_via\" $unit_status {{\n\
         default '{{{public}}}';\n\
         '~^(127[.][0-9.]+|::1|unix:),$' '{{{public},\"cluster\":\"{}\",\
         \"unit\":\"{service}/{region}/{slot}\",\"incarnation\":{},\"agent\":\"{}\",\
         \"configuration\":{},\"pid\":$pid,\"build\":\"nginx/$nginx_version\"}}';\n}}\n",
        value("cluster"),
        value("incarnation"),
        value("agent"),
        configuration.revision,
    )
}

fn locations(configuration: &Configuration) -> Result<String, UnsupportedBackend> {
    if !configuration.enabled {
        return Ok(format!(
            "location / {{ add_header Retry-After {RETRY_AFTER_SECONDS} always; return 503; }}\n"
        ));
    }
    let apis = configuration.apis.iter().map(location).collect::<Result<String, _>>()?;
    let has_root = configuration.apis.iter().any(|api| api.path.as_str() == "/");
    let rest = if has_root { "" } else { "location / { return 404; }\n" };
    Ok(apis + rest)
}

/// Locations of an API: `/orders` matches `/orders` and `/orders/5`, but not `/ordersx`. Between
/// double quotes, no character that a path may have is special to nginx, except `$` in directives
/// with variables.
fn location(api: &ConfiguredApi) -> Result<String, UnsupportedBackend> {
    let backend = api.backend.as_str();
    if backend.contains('$') {
        return Err(UnsupportedBackend::Dollar { api: api.name.to_string() });
    }
    if backend.starts_with("h2c:") {
        return Err(UnsupportedBackend::Http2 { api: api.name.to_string() });
    }
    let authority = backend.split_once("://").map_or(backend, |(_, rest)| rest);
    let exact = if authority.contains('/') { backend.to_owned() } else { format!("{backend}/") };
    let timeouts = format!(
        "proxy_connect_timeout {}ms; proxy_read_timeout {}ms; proxy_send_timeout {}ms;",
        api.timeouts.connect_ms,
        api.timeouts.response_ms.max(api.timeouts.idle_ms),
        api.timeouts.idle_ms,
    );
    let path = api.path.as_str().trim_end_matches('/');
    let prefix = format!("location \"{path}/\" {{ {timeouts} proxy_pass \"{backend}/\"; }}\n");
    if path.is_empty() {
        return Ok(prefix);
    }
    Ok(format!("location = \"{path}\" {{ {timeouts} proxy_pass \"{exact}\"; }}\n{prefix}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_of_root_run_as_an_unprivileged_user_with_its_group() {
        let group = "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n";
        let nobody = "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/nonexistent:/bin/false\n";
        assert_eq!(unprivileged_user(nobody, group).as_deref(), Some("nobody nogroup"));
        let debian = format!("{nobody}www-data:x:33:33::/var/www:/bin/false\n");
        assert_eq!(unprivileged_user(&debian, group).as_deref(), Some("www-data www-data"));
        assert_eq!(unprivileged_user("root:x:0:0::/root:/bin/sh\n", group), None);
    }
}
