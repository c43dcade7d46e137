//! What a command leads to: events, or every rejection that it has. Changes nothing, and knows nothing
//! but the state and the command.
//!
//! A command that asks for what is so already is accepted and has no events. Every event here exists
//! since data version 1; a later one has to be kept back until the state's data version allows it.

mod agent;
mod apis;
mod cluster;
mod decision;
mod draft;
mod edits;
mod placing;
mod port;
mod report;
mod roll;
mod service;

use crate::command::Command;
use crate::event::Event;
use crate::rejection::Rejection;
use crate::state::State;
use decision::Decision;

/// Decides `command` against `state`. The first event takes the revision after the state's.
///
/// # Errors
/// Every rejection of the command. Then nothing happens.
pub fn decide(state: &State, command: &Command) -> Result<Vec<Event>, Vec<Rejection>> {
    let founds = matches!(command, Command::FoundCluster { .. });
    if state.header.cluster.is_none() && !founds {
        return Err(vec![Rejection::NotFounded]);
    }
    let mut decision = Decision::new(state);
    let it = &mut decision;
    match command {
        Command::FoundCluster { cluster, founders } => cluster::found(it, *cluster, founders),
        Command::RaiseDataVersion { version } => cluster::raise_data_version(it, *version),
        Command::SetLimits { limits } => cluster::set_limits(it, limits),
        Command::DefineRegion { region } => cluster::define_region(it, region),
        Command::TrimHistory { through } => cluster::trim_history(it, *through),
        Command::RegisterAgent(agent) => agent::register(it, agent),
        Command::DrainAgent { agent } => agent::drain(it, agent),
        Command::UndrainAgent { agent } => agent::undrain(it, agent),
        Command::RemoveAgent { agent } => agent::remove(it, agent),
        Command::CreateService { service, tier, primary, port } => {
            service::create(it, service, *tier, primary, *port);
        }
        Command::ChangeService { service, expected, edits } => {
            service::change(it, service, *expected, edits);
        }
        Command::DeleteService { service, expected } => service::delete(it, service, *expected),
        Command::Report(report) => report::take_in(it, report),
        Command::RollUnits { service, region } => roll::start(it, service, region.as_ref()),
    }
    decision.end()
}
