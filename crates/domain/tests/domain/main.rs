//! Tests of the rules through the public API: tables of commands with their results, properties of
//! random sequences of commands, and values as text. There are none in the library itself, which would
//! be compiled once more for them.

mod agents;
mod apis;
mod bounds;
mod catalog;
mod cluster;
mod dns;
mod events;
mod evolution;
mod invariants;
mod large;
mod moving;
mod names;
mod outcomes;
mod placement;
mod properties;
mod random;
mod reachability;
mod redirects;
mod rejections;
mod replacing;
mod reports;
mod routing;
mod services;
mod status;
mod urls;
mod voter_selection;
mod votes;
mod world;
