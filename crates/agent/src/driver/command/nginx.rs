//! nginx as a unit: a reverse proxy before the backends of a service's APIs.
//!
//! It does what a built-in unit does, except:
//!
//! - Neither concurrent calls nor calls per second are limited.
//! - A backend's name is looked up when the configuration is loaded. One that cannot be found keeps the
//!   whole configuration from being loaded, and a unit from being started.
//! - nginx decodes a path and encodes it again before it passes it on.
//! - A backend may be silent for the longer of its two time-outs, before its answer and within.
//! - Load and metrics are not reported, and HTTP/2 is not spoken, neither to callers nor to backends: an
//!   API with an h2c backend keeps the whole configuration from being loaded.

use std::fmt::Write as _;

use meridian_domain::Configuration;
use meridian_domain::api::STATUS_PATH;
use meridian_domain::configuration::ConfiguredApi;

use super::pattern::Values;
use crate::driver::UnitLimits;

/// Connections that one worker may have where calls are not limited.
const CONNECTIONS: u32 = 16_384;
/// The certificate authorities of Debian and its kin.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Seconds after which callers of a disabled region may try again.
const RETRY_AFTER_SECONDS: u32 = 1;

/// Why nginx cannot serve an API.
#[derive(Debug, thiserror::Error)]
pub enum UnservedError {
    /// nginx would take it for a variable, and has no way to write it otherwise.
    #[error("nginx cannot have the backend of API {api}: there is a $ in it")]
    Dollar {
        /// The API.
        api: String,
    },
    /// nginx of Debian speaks HTTP/1.1 alone to a backend that is not gRPC's.
    #[error("nginx cannot have the backend of API {api}: it does not speak HTTP/2 to backends")]
    Http2 {
        /// The API.
        api: String,
    },
}

/// The whole configuration file. Paths in it are relative to the unit's directory, nginx's prefix.
pub(super) fn render(
    of_unit: &Values,
    configuration: &Configuration,
    limits: &UnitLimits,
) -> Result<String, UnservedError> {
    let mut file = String::new();
    let said = write!(
        file,
        "# Written by a Meridian agent, and again with each change.\n\
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
         server {{\n\
         listen {listen};\n\
         listen unix:{socket};\n\
         location = {STATUS_PATH} {{ default_type application/json; return 200 '{status}'; }}\n\
         {locations}\
         }}\n\
         }}\n",
        user = user(),
        connections = connections(limits),
        limits = sizes(limits),
        tls = tls(configuration),
        listen = value(of_unit, "listen"),
        socket = value(of_unit, "socket"),
        status = status(of_unit, configuration),
        locations = locations(configuration)?,
    );
    said.expect("a text takes whatever is written to it");
    Ok(file)
}

/// As whom the workers run: as their agent does, like every unit. nginx would have them change user
/// where it can.
fn user() -> &'static str {
    if rustix::process::geteuid().is_root() { "user root;\n" } else { "" }
}

fn value<'a>(values: &'a Values, name: &str) -> &'a str {
    values.get(name).map_or("", String::as_str)
}

/// A call has two connections: to the caller, and to the backend.
fn connections(limits: &UnitLimits) -> u32 {
    match limits.concurrent_requests {
        0 => CONNECTIONS,
        calls => calls.saturating_mul(2).saturating_add(64),
    }
}

fn sizes(limits: &UnitLimits) -> String {
    let mut said = format!("client_max_body_size {};\n", limits.body_bytes);
    if limits.header_bytes > 0 {
        said += &format!("large_client_header_buffers 4 {};\n", limits.header_bytes.max(1_024));
    }
    if limits.header_timeout_ms > 0 {
        said += &format!("client_header_timeout {}ms;\n", limits.header_timeout_ms);
    }
    said
}

/// Only where it is needed: without that file, nginx does not start.
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

/// What the status path answers. All of it are names, which have no quotes.
fn status(of_unit: &Values, configuration: &Configuration) -> String {
    let value = |name: &str| value(of_unit, name);
    let (service, region, slot) = (value("service"), value("region"), value("slot"));
    format!(
        "{{\"cluster\":\"{}\",\"service\":\"{service}\",\"region\":\"{region}\",\
         \"unit\":\"{service}/{region}/{slot}\",\"incarnation\":{},\"agent\":\"{}\",\
         \"configuration\":{},\"pid\":$pid,\"build\":\"nginx/$nginx_version\"}}",
        value("cluster"),
        value("incarnation"),
        value("agent"),
        configuration.revision,
    )
}

fn locations(configuration: &Configuration) -> Result<String, UnservedError> {
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

/// `/orders` gets `/orders` and `/orders/5`, and not `/ordersx`. Between double quotes, none of the
/// characters that a path may have means anything to nginx, except `$` where it takes variables.
fn location(api: &ConfiguredApi) -> Result<String, UnservedError> {
    let backend = api.backend.as_str();
    if backend.contains('$') {
        return Err(UnservedError::Dollar { api: api.name.to_string() });
    }
    if backend.starts_with("h2c:") {
        return Err(UnservedError::Http2 { api: api.name.to_string() });
    }
    let authority = backend.split_once("://").map_or(backend, |(_, rest)| rest);
    let whole = if authority.contains('/') { backend.to_owned() } else { format!("{backend}/") };
    let times = format!(
        "proxy_connect_timeout {}ms; proxy_read_timeout {}ms; proxy_send_timeout {}ms;",
        api.timeouts.connect_ms,
        api.timeouts.response_ms.max(api.timeouts.idle_ms),
        api.timeouts.idle_ms,
    );
    let path = api.path.as_str().trim_end_matches('/');
    let below = format!("location \"{path}/\" {{ {times} proxy_pass \"{backend}/\"; }}\n");
    if path.is_empty() {
        return Ok(below);
    }
    Ok(format!("location = \"{path}\" {{ {times} proxy_pass \"{whole}\"; }}\n{below}"))
}
