//! One attempt of a proposer: what the leader that it took a command to says.

use meridian_ports::{ProposeError, Receipt};

/// What one attempt came to.
pub enum Attempt {
    /// An answer that no further attempt can better.
    Done(Result<Receipt, ProposeError>),
    /// Nothing was proposed: the node does not lead, or could not be reached.
    NotThere,
    /// It may have been proposed.
    Unknown(String),
}
