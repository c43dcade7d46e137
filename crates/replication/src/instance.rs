//! This node's Raft: openraft with the state machine of `meridian-storage`. Separate from the types
//! in [`raft`](meridian_storage::raft), on which that state machine depends.

use meridian_storage::raft::TypeConfig;
use meridian_storage::state_machine::StateMachine;

/// Raft instance of this node.
pub type Raft = openraft::Raft<TypeConfig, StateMachine>;
