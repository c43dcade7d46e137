//! The rules from outside: tables of commands with what they lead to, and properties that hold for
//! any sequence of them.

mod agents;
mod apis;
mod bounds;
mod cluster;
mod electorate;
mod evolution;
mod invariants;
mod moving;
mod placement;
mod properties;
mod random;
mod reports;
mod services;
mod world;
