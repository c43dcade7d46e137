//! Authoritative DNS server of an agent: sends clients to the gateways of the closest region that
//! serves.
//!
//! ```text
//! udp, tcp        receive a query and send the response; bounded sockets, connections and buffers
//!   responder     one query to one response
//!     question    checks the message; edns: its options
//!     rate_limit  limits the responses to a network
//!     location    finds the region of the client: networks, database, own region
//!     view        settings of the zone and the answers built so far
//!       name      meaning of a name below the zone
//!       records   builds an answer from the state: regions, gateways, addresses
//!     response    writes the message: header, question, answer, options
//! detached        the same without sockets, for tests with untrusted input
//! follow          drops the answers that an event of the log affects
//! hosts           resolves the host names of gateways in the background
//! ```
//!
//! An answer is built once for each name, type and client region, in wire format, and kept until the
//! service, host or setting that it depends on changes. Everything else about a response (id, case
//! of the name, client subnet, serial of the zone) is added when it is sent.
//!
//! This crate reads the state and the events of its agent through `meridian-ports`, and chooses
//! regions with `meridian_domain::routing` only. It must not know how the log is replicated or
//! stored, what an operator may change, or what a gateway does.
//!
//! Start reading at [`server`], then `responder`. [`delegation`] has the records for the parent zone.

pub mod delegation;
pub mod detached;
pub mod hosts;
pub mod server;

mod answers;
mod dependency;
mod edns;
mod encode;
mod follow;
mod location;
mod metrics;
mod name;
mod question;
mod rate_limit;
mod records;
mod responder;
mod response;
mod tcp;
mod udp;
mod view;
mod zone;

pub use metrics::describe_metrics;
pub use server::{Config, Handle, Server, StartError};
