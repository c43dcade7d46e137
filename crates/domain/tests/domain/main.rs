//! Tests of the rules through the public API: tables of commands with their results, and properties
//! of random sequences of commands.

mod agents;
mod apis;
mod bounds;
mod cluster;
mod events;
mod evolution;
mod invariants;
mod moving;
mod placement;
mod properties;
mod random;
mod reports;
mod services;
mod status;
mod voter_selection;
mod world;
