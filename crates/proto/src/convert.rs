//! Between the contracts and the domain.
//!
//! Inwards, every value is checked, and everything that is wrong with a message is said at once, each
//! time with the path of its field: [`Violations`]. Outwards, nothing can fail.
//!
//! | module | converts |
//! | --- | --- |
//! | [`change`] | the requests that ask for a change, into commands |
//! | [`edit`] | the edits of a change set |
//! | [`agent`] | what an agent says of itself |
//! | [`field`] | single fields, the same way in every request |
//! | [`event`] | events of the log, out |
//! | [`value`] | services, regions and limits, out |
//! | [`json`] | serde's human-readable form into `google.protobuf.Struct`, and back |
//! | [`time`] | time stamps and durations |

#![warn(clippy::wildcard_enum_match_arm)]

pub mod agent;
pub mod api;
pub mod change;
pub mod edit;
pub mod event;
pub mod field;
pub mod json;
pub mod time;
pub mod value;
mod violation;

pub use change::{Aim, Asked, ChangeRequest};
pub use violation::{Checks, Violation, Violations};
