//! Networks between agents, with what befalls them.
//!
//! ```text
//! Network       what a test says: a rule for what one agent sends another
//!   Namespaces    each agent in a network namespace, and a hub between them (root)
//!     Hub           the thread that passes frames on, and Switch, which decides on each
//!     Tap           a device whose cable ends in this program
//!   Proxies       all agents on loopback, and a proxy before each of them (anyone)
//! ```
//!
//! Rules are between agents: clients reach an agent that is cut off from the others.

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

/// A network of agents, which are counted from 1.
pub trait Network: Debug + Send + Sync {
    /// The place of an agent of this name in the network.
    fn agent(&self, sandbox: &Sandbox, number: u8, name: &str) -> Agent;

    /// Sets what befalls all that one agent sends another, in place of what did before. The other way
    /// stays as it is.
    ///
    /// # Errors
    /// If there is no such agent, or this network cannot do that.
    fn set(&self, from: u8, to: u8, rule: Rule) -> anyhow::Result<()>;

    /// Ends all rules.
    fn heal(&self);

    /// What the rules did since the last healing.
    fn felt(&self) -> Felt;

    /// Whether it can double and reorder what is sent: a stream of TCP shows neither.
    fn has_packets(&self) -> bool;
}

/// What befalls what one agent sends another. By default, nothing.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rule {
    /// Nothing arrives.
    pub cut: bool,
    /// The part that is lost, from 0 to 1.
    pub loss: f64,
    /// How much later it arrives.
    pub delay: Duration,
    /// By how much more at most, drawn for each packet: later ones may overtake earlier ones.
    pub jitter: Duration,
    /// The part that arrives twice, from 0 to 1.
    pub duplication: f64,
    /// The part that is held back, so that later packets overtake it, from 0 to 1.
    pub reordering: f64,
}

impl Rule {
    /// Nothing arrives.
    pub const CUT: Self = Self {
        cut: true,
        loss: 0.0,
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
        duplication: 0.0,
        reordering: 0.0,
    };

    /// Whether nothing at all arrives.
    fn cuts(&self) -> bool {
        self.cut || self.loss >= 1.0
    }
}

/// How many met what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Felt {
    /// Lost by a cut or by chance, or held back where nothing is lost.
    pub lost: u64,
    /// Delayed.
    pub delayed: u64,
    /// Doubled.
    pub duplicated: u64,
    /// Passed on before others that were sent earlier.
    pub overtook: u64,
}
