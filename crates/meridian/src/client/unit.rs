//! `meridian unit`.

use std::collections::BTreeSet;

use meridian_proto::v1;

use crate::cli::{RollArgs, UnitCommand};
use crate::exit;

use super::change::{Intent, change};
use super::contract;
use super::failure::Failure;
use super::lookup;
use super::service;
use super::session::Session;
use super::status::note_observer;
use super::view::UnitView;
use super::wait::{Goal, Regions};

/// Runs a `meridian unit` command.
///
/// # Errors
/// The failure of the subcommand.
pub async fn run(session: &Session, command: UnitCommand) -> Result<(), Failure> {
    match command {
        UnitCommand::List(_) => list(session).await,
        UnitCommand::Roll(args) => roll(session, args).await,
    }
}

/// Lists the units of the selected service, or of all services.
async fn list(session: &Session) -> Result<(), Failure> {
    let service = session.options.service.as_deref().unwrap_or_default();
    let units = lookup::units(session, service).await?;
    session.output.list(&units)?;
    note_observer(session, units.first().and_then(|unit| unit.observer.as_ref()));
    note_failure(session, &units);
    Ok(())
}

/// Notes the cause of the first failed unit, which the default table has no column for.
fn note_failure(session: &Session, units: &[UnitView]) {
    let failed = units.iter().filter_map(|unit| Some((unit, unit.cause.as_ref()?)));
    if let Some((unit, cause)) = failed.clone().next()
        && session.output.is_table()
    {
        let more = match failed.count() {
            1 => String::new(),
            count => format!(" ({} more)", count - 1),
        };
        exit::note(
            &format!("{} on {}: {cause}{more}", unit.unit, unit.agent),
            "see `meridian unit list -o wide` for every cause",
        );
    }
}

async fn roll(session: &Session, args: RollArgs) -> Result<(), Failure> {
    let service = service::named(session, args.service).await?;
    let regions = match &args.region {
        Some(region) => Regions::Named(BTreeSet::from([region.clone()])),
        None => Regions::All,
    };
    let goal = Goal::Converged { service: service.clone(), regions };
    let message = |context| v1::RollUnitsRequest {
        context: Some(context),
        service,
        region: args.region.unwrap_or_default(),
    };
    change(session, Intent::with_goal(goal), message, async |channel, request| {
        contract::services(channel).roll_units(request).await
    })
    .await
}
