//! Conversion between the contracts and the domain.
//!
//! From a message, every value is validated, and all invalid fields are reported together, each
//! with its path: [`Violations`]. To a message, the conversion cannot fail.
//!
//! | module | converts |
//! | --- | --- |
//! | [`change`] | change requests to commands |
//! | [`edit`] | the edits of a change set |
//! | [`api`] | APIs, both ways |
//! | [`agent`] | the registration of an agent |
//! | [`routing`] | settings of the name servers and networks, both ways |
//! | [`field`] | single fields, the same way in every request |
//! | [`event`] | events to messages |
//! | [`value`] | services, regions and limits to messages |
//! | [`json`] | serde's human-readable form to `google.protobuf.Struct`, and back |
//! | [`time`] | timestamps and durations |

#![warn(clippy::wildcard_enum_match_arm)]

pub mod agent;
pub mod api;
pub mod change;
pub mod edit;
pub mod event;
pub mod field;
pub mod json;
pub mod routing;
pub mod time;
pub mod value;
mod violation;

pub use change::{ChangeRequest, CheckedChange, Mode};
pub use violation::{Checks, Violation, Violations};
