//! Losses of gateways, as the leader finds them.
//!
//! ```text
//! prober (agent)          leader
//!  probes -- report -->  reports   latest report of each prober, silent ones without a vote
//!                        count     votes by region (domain)
//!                        windows   what is due, and when lost gateways are found
//!                        task      proposes LoseGateways and FindGateways
//! ```
//!
//! A prober states that gateways are unreachable only after a window in which all of its probes
//! failed. Its vote counts once it has reported to this leader without interruption for as long, so a
//! new leader starts all windows over, and what a prober found while it was isolated is not a vote.

mod port;
mod reports;
mod task;
mod windows;

pub(crate) use port::Votes;
pub(crate) use task::LossTask;
