//! `meridian unit`.

use meridian_proto::v1;

use crate::cli::{RollArgs, UnitCommand};

use super::change::change;
use super::contract;
use super::failure::Failure;
use super::lookup;
use super::service;
use super::session::Session;
use super::wait::Goal;

/// Runs a `meridian unit` command.
///
/// # Errors
/// As its parts.
pub async fn run(session: &Session, command: UnitCommand) -> Result<(), Failure> {
    match command {
        UnitCommand::List => list(session).await,
        UnitCommand::Roll(args) => roll(session, args).await,
    }
}

/// Prints the units of the named service, or of all.
async fn list(session: &Session) -> Result<(), Failure> {
    let service = session.global.service.as_deref().unwrap_or_default();
    session.output.list(&lookup::units(session, service).await?)
}

async fn roll(session: &Session, args: RollArgs) -> Result<(), Failure> {
    let service = service::named(session, args.service).await?;
    let goal = Goal::ServiceConverged(service.clone());
    let message = |context| v1::RollUnitsRequest {
        context: Some(context),
        service,
        region: args.region.unwrap_or_default(),
    };
    change(session, Some(goal), message, async |channel, request| {
        contract::services(channel).roll_units(request).await
    })
    .await
}
