//! This node's Raft: openraft over this crate's state machine. Apart from the types in
//! [`raft`](meridian_storage::raft), which the state machine itself is made of.

use meridian_storage::raft::TypeConfig;
use meridian_storage::state_machine::StateMachine;

/// This node's Raft.
pub type Raft = openraft::Raft<TypeConfig, StateMachine>;
