//! Networks between agents, with injected faults.
//!
//! ```text
//! Network       the interface of tests: one rule per direction between two agents
//!   Namespaces    each agent in a network namespace, and a hub between them (root)
//!     Hub           the thread that forwards frames; Switch decides on each frame
//!     Tap           a network device whose other end is this program
//!   Proxies       all agents on loopback, and a proxy in front of each of them (no privileges)
//! ```
//!
//! Rules apply between agents only: clients can reach an agent that is partitioned from the others.

mod hub;
mod namespaces;
mod proxies;
mod switch;
mod tap;

use std::fmt::Debug;
use std::time::Duration;

pub use namespaces::Namespaces;
pub use proxies::Proxies;

use super::agent::Agent;
use super::sandbox::Sandbox;

/// A network of agents, numbered from 1.
pub trait Network: Debug + Send + Sync {
    /// Creates an agent with this name and number in the network.
    fn agent(&self, sandbox: &Sandbox, number: u8, name: &str) -> Agent;

    /// Sets the rule for all traffic from one agent to another, replacing the previous one. The
    /// opposite direction is unchanged.
    ///
    /// # Errors
    /// If there is no such agent, or the network does not support the rule.
    fn set(&self, from: u8, to: u8, rule: Rule) -> anyhow::Result<()>;

    /// Removes all rules.
    fn heal(&self);

    /// Returns the effects of the rules since the last [`heal`](Self::heal).
    fn counters(&self) -> Counters;

    /// Returns true if packets can be duplicated and reordered; TCP streams hide both.
    fn has_packets(&self) -> bool;
}

/// Faults of the traffic from one agent to another. None by default.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rule {
    /// All traffic is dropped.
    pub cut: bool,
    /// Fraction of lost packets, from 0 to 1.
    pub loss: f64,
    /// Additional latency.
    pub delay: Duration,
    /// Maximum additional random latency, drawn for each packet; packets may overtake each other.
    pub jitter: Duration,
    /// Fraction of duplicated packets, from 0 to 1.
    pub duplication: f64,
    /// Fraction of packets held back so that later ones overtake them, from 0 to 1.
    pub reordering: f64,
}

impl Rule {
    /// No fault.
    pub const NONE: Self = Self {
        cut: false,
        loss: 0.0,
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
        duplication: 0.0,
        reordering: 0.0,
    };
    /// Drops all traffic.
    pub const CUT: Self = Self { cut: true, ..Self::NONE };

    /// Returns true if all traffic is dropped.
    fn cuts(&self) -> bool {
        self.cut || self.loss >= 1.0
    }
}

/// Numbers of affected packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Dropped by a cut or at random; delayed instead where streams lose nothing.
    pub lost: u64,
    /// Delayed.
    pub delayed: u64,
    /// Duplicated.
    pub duplicated: u64,
    /// Delivered before packets that were sent earlier.
    pub reordered: u64,
}
