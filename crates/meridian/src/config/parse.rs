//! Parsers of single values. An error is the rule that the text breaks.

use std::net::SocketAddr;
use std::path::PathBuf;

use meridian_agent::driver::AccessLog;
use meridian_domain::id::Zone;
use meridian_replication::timing::Profile;

use crate::telemetry::logs::{self, LogFormat};

pub(super) fn zone(text: &str) -> Result<Zone, String> {
    let number: u8 = text.parse().map_err(|_| "a zone is a number from 1 to 9".to_owned())?;
    Zone::try_from(number).map_err(|error| error.to_string())
}

pub(super) fn socket_address(text: &str) -> Result<SocketAddr, &'static str> {
    let address = text.parse().ok().filter(|address: &SocketAddr| address.port() > 0);
    address.ok_or("use IP:PORT, such as 127.0.0.1:7400 or [::1]:7400")
}

pub(super) fn host_name(text: &str) -> Result<String, &'static str> {
    let is_valid = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let valid = !text.is_empty() && text.chars().all(is_valid);
    if valid {
        Ok(text.to_owned())
    } else {
        Err("use a host name without a port, such as gateways.example.net")
    }
}

pub(super) fn path(text: &str) -> Result<PathBuf, &'static str> {
    if text.is_empty() { Err("must not be empty") } else { Ok(PathBuf::from(text)) }
}

pub(super) fn profile(text: &str) -> Result<Profile, &'static str> {
    match text {
        "lan" => Ok(Profile::Lan),
        "wan" => Ok(Profile::Wan),
        _ => Err("use lan or wan"),
    }
}

pub(super) fn access_log(text: &str) -> Result<AccessLog, &'static str> {
    match text {
        "off" => Ok(AccessLog::Off),
        "path" => Ok(AccessLog::Path),
        "query" => Ok(AccessLog::Query),
        _ => Err("use off, path or query"),
    }
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, &'static str> {
    match text {
        "auto" => Ok(LogFormat::Auto),
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("use auto, text or json"),
    }
}

pub(super) fn log_level(text: &str) -> Result<String, String> {
    logs::filter(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}
