//! Environment of a built-in unit.

use std::ffi::OsString;

/// Variables that a unit gets from its agent. All others are withheld: they configure the agent, or
/// hold secrets that are not meant for a process that strangers send requests to.
const PASSED: [&str; 8] = [
    // Certificate authorities of https backends.
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    // Name resolution of backends (resolv.conf(5), hostname(7)).
    "HOSTALIASES",
    "LOCALDOMAIN",
    "RES_OPTIONS",
    // Libraries of this program, if they are not in the system's directories (ld.so(8)).
    "LD_LIBRARY_PATH",
    // Backtraces of panics.
    "RUST_BACKTRACE",
    "RUST_LIB_BACKTRACE",
];

/// Returns the variables of this process that a unit gets.
pub(super) fn of_unit() -> impl Iterator<Item = (&'static str, OsString)> {
    PASSED.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)))
}
