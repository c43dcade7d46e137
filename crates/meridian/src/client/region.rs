//! `meridian region`.

use meridian_proto::v1;
use meridian_proto::v1::edit::Edit as EditKind;

use crate::cli::{
    AddArgs, DefineArgs, PreferenceArgs, RegionCommand, RegionEdit, ScaleArgs, SetArgs,
};

use super::change::{Intent, change};
use super::contract;
use super::failure::Failure;
use super::lookup::{self, fold};
use super::scaling::{self, Planned};
use super::service;
use super::session::Session;
use super::status::note_observer;
use super::view::RegionView;

/// Maximum number of attempts of a relative change that conflicts with others.
const MAX_ATTEMPTS: u32 = 5;

/// Runs a `meridian region` command.
///
/// # Errors
/// The failure of the subcommand.
pub async fn run(session: &mut Session, command: RegionCommand) -> Result<(), Failure> {
    let planned = match command {
        RegionCommand::Catalog(args) => {
            return catalog(session, args.filter.as_deref()).await;
        }
        RegionCommand::List(_) => return list(session).await,
        RegionCommand::Define(args) => return define(session, args).await,
        RegionCommand::Add(args) => add(args),
        RegionCommand::Scale(args) => scale(args),
        RegionCommand::Remove(args) => vec![Planned::Edit(EditKind::Remove(args.region))],
        RegionCommand::Promote(args) => vec![Planned::Edit(EditKind::Promote(args.region))],
        RegionCommand::Enable(args) => vec![Planned::Edit(EditKind::Enable(args.region))],
        RegionCommand::Disable(args) => vec![Planned::Edit(EditKind::Disable(args.region))],
        RegionCommand::Set(args) => set(args),
    };
    edit(session, planned).await
}

fn add(args: AddArgs) -> Vec<Planned> {
    let preference = prefer(&args.region, &args.preference);
    let zones = args.zones.map_or_else(Vec::new, |zones| zones.0);
    let add = v1::AddRegion { region: args.region, units: args.units, zones };
    [Planned::Edit(EditKind::Add(add))].into_iter().chain(preference).collect()
}

fn scale(args: ScaleArgs) -> Vec<Planned> {
    let ScaleArgs { region, units, zones, preference, options: _ } = args;
    let preference = prefer(&region, &preference);
    let zones = zones.map(|zones| v1::Zones { zones: zones.0 });
    let scale = match (units, zones) {
        (Some(count), zones) => Some(Planned::Units { region, count, zones, or_add: false }),
        (None, Some(zones)) => {
            let scale = v1::ScaleRegion { region, units: None, zones: Some(zones) };
            Some(Planned::Edit(EditKind::Scale(scale)))
        }
        (None, None) => None,
    };
    scale.into_iter().chain(preference).collect()
}

fn set(args: SetArgs) -> Vec<Planned> {
    let SetArgs { edits, preference, .. } = args;
    let planned = edits.into_iter().flat_map(|edit| match edit {
        RegionEdit::Set { region, units: count } => {
            let preference = prefer(&region, &preference);
            let units = Planned::Units { region, count, zones: None, or_add: true };
            [Some(units), preference]
        }
        RegionEdit::Remove { region } => [Some(Planned::Edit(EditKind::Remove(region))), None],
    });
    planned.flatten().collect()
}

/// The edit of a region's preference, if one is given.
fn prefer(region: &str, given: &PreferenceArgs) -> Option<Planned> {
    let PreferenceArgs { priority, weight } = given;
    if priority.is_none() && weight.is_none() {
        return None;
    }
    Some(Planned::Edit(EditKind::Prefer(v1::PreferRegion {
        region: region.to_owned(),
        priority: priority.map(u32::from),
        weight: weight.map(u32::from),
    })))
}

/// Sends the edits, after confirmation if they are destructive. A relative number of units is
/// resolved again if another change came in between, unless the user expects a revision.
async fn edit(session: &mut Session, planned: Vec<Planned>) -> Result<(), Failure> {
    scaling::check_request_id(session, &planned)?;
    let service = service::selected(session).await?;
    let (command_line, expected) = (session.command_line.clone(), session.options.expect_revision);
    let may_retry = scaling::is_relative(&planned) && expected.is_none();
    let mut is_confirmed = false;
    let mut attempts_left = if may_retry { MAX_ATTEMPTS } else { 1 };
    loop {
        session.command_line.clone_from(&command_line);
        session.options.expect_revision = expected;
        let edits = scaling::resolve(session, &service, planned.clone()).await?;
        attempts_left -= 1;
        match confirm_and_send(session, &service, edits, &mut is_confirmed).await {
            Err(Failure::Conflict { .. }) if attempts_left > 0 => {}
            result => return result,
        }
    }
}

/// Sends the edits once; first asks for confirmation if they are destructive and the user has not
/// confirmed them yet.
async fn confirm_and_send(
    session: &Session,
    service: &str,
    edits: Vec<EditKind>,
    is_confirmed: &mut bool,
) -> Result<(), Failure> {
    if let Some(consequence) = consequence(service, &edits).filter(|_| !*is_confirmed) {
        service::confirm_edits(session, service, &edits, &consequence).await?;
        *is_confirmed = true;
    }
    service::edit(session, service.to_owned(), edits).await
}

/// Consequence of destructive edits, for confirmation; `None` if no edit is destructive.
fn consequence(service: &str, edits: &[EditKind]) -> Option<String> {
    let (mut removed, mut disabled) = (Vec::new(), Vec::new());
    for edit in edits {
        match edit {
            EditKind::Remove(region) => removed.push(region.as_str()),
            EditKind::Disable(region) => disabled.push(region.as_str()),
            EditKind::Add(_)
            | EditKind::Scale(_)
            | EditKind::Set(_)
            | EditKind::Promote(_)
            | EditKind::Enable(_)
            | EditKind::Tier(_)
            | EditKind::Port(_)
            | EditKind::Prefer(_)
            | EditKind::Routing(_)
            | EditKind::WhenDisabled(_)
            | EditKind::PublishApi(_)
            | EditKind::RemoveApi(_) => {}
        }
    }
    let removed = (!removed.is_empty())
        .then(|| format!("remove {} from {service} and stop its units there", removed.join(", ")));
    let disabled = (!disabled.is_empty()).then(|| {
        format!(
            "disable the gateway of {service} in {}: it serves no clients there",
            disabled.join(", ")
        )
    });
    removed.or(disabled)
}

async fn catalog(session: &Session, filter: Option<&str>) -> Result<(), Failure> {
    let response = session.read(v1::ListCatalogRequest {}, async |channel, request| {
        contract::services(channel).list_catalog(request).await
    });
    let filter = fold(filter.unwrap_or_default());
    let regions = response.await?.regions.into_iter();
    let matching: Vec<RegionView> = regions
        .filter(|region| {
            [&region.name, &region.display_name].iter().any(|n| fold(n).contains(&filter))
        })
        .map(RegionView::from)
        .collect();
    session.output.list(&matching)
}

async fn list(session: &Session) -> Result<(), Failure> {
    let service = service::selected(session).await?;
    let locations = lookup::locations(session, &service).await?;
    session.output.list(&locations)?;
    note_observer(session, locations.first().and_then(|location| location.observer.as_ref()));
    Ok(())
}

async fn define(session: &Session, args: DefineArgs) -> Result<(), Failure> {
    let message = |context| v1::DefineRegionRequest {
        context: Some(context),
        name: args.name,
        display_name: args.display_name,
        latitude: args.latitude,
        longitude: args.longitude,
    };
    change(session, Intent::default(), message, async |channel, request| {
        contract::cluster(channel).define_region(request).await
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_removals_and_disabled_gateways_need_confirmation() {
        let set = EditKind::Set(v1::SetRegion { region: "eastus".to_owned(), units: 2 });
        assert_eq!(consequence("contoso", std::slice::from_ref(&set)), None);
        let edits = [set, EditKind::Remove("westus".to_owned()), EditKind::Remove("a".to_owned())];
        assert_eq!(
            consequence("contoso", &edits).as_deref(),
            Some("remove westus, a from contoso and stop its units there")
        );
        assert_eq!(
            consequence("contoso", &[EditKind::Disable("eastus".to_owned())]).as_deref(),
            Some("disable the gateway of contoso in eastus: it serves no clients there")
        );
    }
}
