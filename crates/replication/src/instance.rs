//! This node's Raft: openraft over this crate's state machine. Apart from the types in
//! [`raft`](crate::raft), which the state machine itself is made of.

use crate::raft::TypeConfig;
use crate::state_machine::StateMachine;

/// This node's Raft.
pub type Raft = openraft::Raft<TypeConfig, StateMachine>;
