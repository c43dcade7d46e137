//! The user of the client, as the environment names it: `user@host`.

use std::env;

use meridian_domain::limits::ACTOR_CHARS;

/// The user who runs the client, also through sudo. A hint for readers of the event log, not an
/// authenticated identity.
pub fn actor() -> String {
    let user = ["SUDO_USER", "USER", "LOGNAME"]
        .into_iter()
        .find_map(|variable| env::var(variable).ok().filter(|user| !user.is_empty()))
        .unwrap_or_else(|| format!("uid-{}", rustix::process::getuid().as_raw()));
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{user}@{host}").chars().filter(|c| !c.is_control()).take(ACTOR_CHARS).collect()
}
