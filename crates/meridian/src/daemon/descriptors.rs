//! File descriptors of an agent: each port and the units get a share of the limit, so that none of
//! them can take what the others, the log and the peers need.

use meridian_agent::driver::UNIT_DESCRIPTORS;
use meridian_transport::accept::Limits;

use crate::config::AgentConfig;

/// Descriptors of the log, the stores, the listeners and the runtime, and of operations in progress,
/// such as name resolution. An idle agent of three has 20 of them open.
const FILES: u64 = 96;
/// Minimum and maximum connections of each port.
const CLIENTS: (u64, u64) = (32, 1_024);
const PEERS: (u64, u64) = (24, 1_024);
const HTTP: (u64, u64) = (8, 512);
/// Minimum and maximum connections to the gateways of other agents.
const PROBES: (u64, u64) = (8, 512);
/// Minimum number of units.
const MIN_UNITS: u64 = 2;
/// Number of units up to which an agent is assigned units (`meridian_domain::limits`).
const UNITS: u64 = 1_000;
/// Minimum limit of open files: that with which an agent can work at all.
const MINIMUM: u64 = needed(CLIENTS.0, PEERS.0, HTTP.0, PROBES.0, MIN_UNITS);
/// Limit of open files from which on the agent has its full capacity.
const FULL: u64 = needed(CLIENTS.1, PEERS.1, HTTP.1, PROBES.1, UNITS);
/// Descriptors of a unit besides those of its requests.
const UNIT_FILES: u64 = 128;

/// Descriptors for these numbers of connections and units. The agent also opens connections to its
/// peers, as many as it accepts from them.
const fn needed(clients: u64, peers: u64, http: u64, probes: u64, units: u64) -> u64 {
    FILES + clients + 2 * peers + http + probes + units * UNIT_DESCRIPTORS as u64
}

/// The limit of open files is too low for an agent.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the limit of open files is {limit}, and an agent needs at least {MINIMUM}: {FILES} for its log \
     and other files, {} for clients, {} for other agents, {} for http_listen, {} for probes of \
     gateways, and {UNIT_DESCRIPTORS} for each unit",
    CLIENTS.0, 2 * PEERS.0, HTTP.0, PROBES.0
)]
pub struct TooFewDescriptors {
    limit: u64,
}

/// Shares of the limit of open files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    limit: u64,
    /// Limits of the client port.
    pub clients: Limits,
    /// Limits of the peer port.
    pub peers: Limits,
    /// Limits of the HTTP port.
    pub http: Limits,
    /// Maximum number of connections to the gateways of other agents.
    pub probes: usize,
    /// Maximum number of units.
    pub units: u32,
}

impl Shares {
    /// Divides `limit`. Below the full capacity, clients get an eighth of what the files leave,
    /// peers a sixteenth in each direction, HTTP and probes a sixty-fourth each, and units the rest.
    ///
    /// # Errors
    /// If the minimum of each share does not fit.
    pub fn of(limit: u64) -> Result<Self, TooFewDescriptors> {
        if limit < MINIMUM {
            return Err(TooFewDescriptors { limit });
        }
        let available = limit - FILES;
        let share = |part: u64, (least, most): (u64, u64)| (available / part).clamp(least, most);
        let (clients, peers, http) = (share(8, CLIENTS), share(16, PEERS), share(64, HTTP));
        let probes = share(64, PROBES);
        let units = (limit - needed(clients, peers, http, probes, 0)) / u64::from(UNIT_DESCRIPTORS);
        Ok(Self {
            limit,
            clients: port(clients),
            peers: port(peers),
            http: port(http),
            probes: usize::try_from(probes).unwrap_or(usize::MAX),
            units: u32::try_from(units).unwrap_or(u32::MAX),
        })
    }

    /// Logs a warning if the limit is too low for the full capacity of the agent, or for the
    /// configured capacity of its units, which have the same limit.
    pub fn check(&self, config: &AgentConfig) {
        let Self { limit, clients, peers, http, probes, units } = *self;
        if limit < FULL {
            tracing::warn!(
                limit,
                units,
                clients = clients.connections,
                peers = peers.connections,
                http = http.connections,
                probes,
                "the limit of open files bounds the connections of each port and the number of \
                 units: raise LimitNOFILE to {FULL} for {UNITS} units"
            );
        }
        let requests = u64::from(config.limits.concurrent_requests);
        let needed = 2 * requests + UNIT_FILES;
        if !config.witness && limit < needed {
            tracing::warn!(
                limit,
                needed,
                "a unit needs two open files for each of its {requests} concurrent requests: raise \
                 LimitNOFILE, or lower unit_concurrent_requests"
            );
        }
    }
}

/// Limits of a port with this number of connections, of which at most a half are half-open.
fn port(connections: u64) -> Limits {
    let connections = usize::try_from(connections).unwrap_or(usize::MAX);
    let default = Limits::default();
    Limits { connections, half_open: default.half_open.min(connections.div_ceil(2)), ..default }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the number of descriptors that a full agent uses.
    fn used(shares: &Shares) -> u64 {
        let connections = |limits: Limits| limits.connections as u64;
        needed(
            connections(shares.clients),
            connections(shares.peers),
            connections(shares.http),
            shares.probes as u64,
            shares.units.into(),
        )
    }

    #[test]
    fn the_shares_fit_into_every_limit_and_grow_with_it() {
        let mut before = Shares::of(MINIMUM).expect("is enough");
        assert_eq!(u64::from(before.units), MIN_UNITS);
        for limit in MINIMUM..=2 * FULL {
            let shares = Shares::of(limit).expect("is enough");
            assert!(used(&shares) <= limit, "{shares:?}");
            assert!(used(&shares) > limit - u64::from(UNIT_DESCRIPTORS), "{shares:?}");
            for port in [shares.clients, shares.peers, shares.http] {
                assert!(port.half_open < port.connections, "{shares:?}");
            }
            assert!(shares.clients.connections >= before.clients.connections);
            before = shares;
        }
        let full = Shares::of(FULL).expect("is enough");
        assert!(u64::from(full.units) >= UNITS, "{full:?}");
        assert!(Shares::of(u64::MAX).is_ok());
    }

    #[test]
    fn a_limit_below_the_minimum_is_refused_with_what_is_needed_for_what() {
        let error = Shares::of(MINIMUM - 1).expect_err("is too low").to_string();
        assert_eq!(
            error,
            "the limit of open files is 199, and an agent needs at least 200: 96 for its log and \
             other files, 32 for clients, 48 for other agents, 8 for http_listen, 8 for probes of \
             gateways, and 4 for each unit"
        );
    }
}
