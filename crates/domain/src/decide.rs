//! Decides commands: each leads to events or to a list of rejections. Pure: the result depends only
//! on the state and the command.
//!
//! A command whose requested state is already reached is accepted without events. All events
//! emitted here exist since data version 1. An event of a later version must not be emitted before
//! the data version of the state allows it.

mod agent;
mod apis;
mod assignment;
mod cluster;
mod decision;
mod dns;
mod draft;
mod edits;
mod port;
mod reachability;
mod report;
mod roll;
mod round_trips;
mod service;

use crate::command::Command;
use crate::event::Event;
use crate::rejection::Rejection;
use crate::state::State;
use decision::Decision;

/// Decides `command` against `state`. The first event takes the revision after the state's.
///
/// # Errors
/// Every rule that the command violates. A rejected command has no events.
pub fn decide(state: &State, command: &Command) -> Result<Vec<Event>, Vec<Rejection>> {
    let bootstraps = matches!(command, Command::BootstrapCluster { .. });
    if state.header.cluster.is_none() && !bootstraps {
        return Err(vec![Rejection::NotBootstrapped]);
    }
    let mut decision = Decision::new(state);
    dispatch(&mut decision, command);
    assignment::forget_surplus_draining(&mut decision);
    decision.finish()
}

fn dispatch(decision: &mut Decision<'_>, command: &Command) {
    match command {
        Command::BootstrapCluster { cluster, agents } => {
            cluster::bootstrap(decision, *cluster, agents);
        }
        Command::RaiseDataVersion { version } => cluster::raise_data_version(decision, *version),
        Command::SetLimits { limits } => cluster::set_limits(decision, limits),
        Command::DefineRegion { region } => cluster::define_region(decision, region),
        Command::TrimHistory { through } => cluster::trim_history(decision, *through),
        Command::RegisterAgent(agent) => agent::register(decision, agent),
        Command::DrainAgent { agent } => agent::drain(decision, agent),
        Command::UndrainAgent { agent } => agent::undrain(decision, agent),
        Command::RemoveAgent { agent } => agent::remove(decision, agent),
        Command::CreateService { service, tier, primary, port, when_disabled } => {
            service::create(decision, service, *tier, primary, *port, *when_disabled);
        }
        Command::ChangeService { service, expected, edits } => {
            service::change(decision, service, *expected, edits);
        }
        Command::DeleteService { service, expected } => {
            service::delete(decision, service, *expected);
        }
        Command::Report(report) => report::apply(decision, report),
        Command::RollUnits { service, region } => {
            roll::start(decision, service, region.as_ref());
        }
        Command::RecordRecovery { epoch } => cluster::record_recovery(decision, *epoch),
        Command::SetDns { settings } => dns::set(decision, settings),
        Command::ChangeNetworks { assign, remove } => {
            dns::change_networks(decision, assign, remove);
        }
        Command::RecordRoundTrips { from, measured } => {
            round_trips::record(decision, from, measured);
        }
        Command::LoseGateways(votes) => reachability::lose(decision, votes),
        Command::FindGateways { agent, gateways } => {
            reachability::find(decision, agent, gateways);
        }
    }
}
