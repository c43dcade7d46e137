//! What the services stand on.

use std::sync::Arc;

use meridian_ports::{Cluster, History, Propose, Read};

/// The rooms next door. Cloning shares them.
#[derive(Clone)]
pub struct Ports {
    /// Takes changes to the leader.
    pub propose: Arc<dyn Propose>,
    /// Reads the state.
    pub read: Arc<dyn Read>,
    /// Reads the events.
    pub history: Arc<dyn History>,
    /// Knows the members.
    pub cluster: Arc<dyn Cluster>,
}
