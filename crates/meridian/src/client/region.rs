//! `meridian region`.

use meridian_proto::v1;
use meridian_proto::v1::edit::Edit as EditKind;

use crate::cli::{AddArgs, DefineArgs, RegionCommand, RegionEdit, ScaleArgs};

use super::change::change;
use super::contract;
use super::failure::Failure;
use super::lookup;
use super::service;
use super::session::Session;
use super::view::RegionView;

/// Runs a `meridian region` command.
///
/// # Errors
/// As its parts.
pub async fn run(session: &Session, command: RegionCommand) -> Result<(), Failure> {
    let edits = match command {
        RegionCommand::Catalogue { filter } => return catalogue(session, filter.as_deref()).await,
        RegionCommand::List => return list(session).await,
        RegionCommand::Define(args) => return define(session, args).await,
        RegionCommand::Add(args) => vec![add(args)],
        RegionCommand::Scale(args) => vec![scale(args)],
        RegionCommand::Remove { region } => vec![EditKind::Remove(region)],
        RegionCommand::Promote { region } => vec![EditKind::Promote(region)],
        RegionCommand::Enable { region } => vec![EditKind::Enable(region)],
        RegionCommand::Disable { region } => vec![EditKind::Disable(region)],
        RegionCommand::Set { edits } => edits.into_iter().map(set).collect(),
    };
    let service = service::about(session).await?;
    match removal(&service, &edits) {
        Some(removal) => service::edit_if_agreed(session, service, edits, &removal).await,
        None => service::edit(session, service, edits).await,
    }
}

fn add(args: AddArgs) -> EditKind {
    let zones = args.zones.map_or_else(Vec::new, |zones| zones.0);
    EditKind::Add(v1::AddRegion { region: args.region, units: args.units, zones })
}

fn scale(args: ScaleArgs) -> EditKind {
    EditKind::Scale(v1::ScaleRegion {
        region: args.region,
        units: args.units,
        zones: args.zones.map(|zones| v1::Zones { zones: zones.0 }),
    })
}

fn set(edit: RegionEdit) -> EditKind {
    match edit {
        RegionEdit::Set { region, units } => EditKind::Set(v1::SetRegion { region, units }),
        RegionEdit::Remove { region } => EditKind::Remove(region),
    }
}

/// What the edits would take away; none if nothing.
fn removal(service: &str, edits: &[EditKind]) -> Option<String> {
    let removed: Vec<&str> = edits
        .iter()
        .filter_map(|edit| match edit {
            EditKind::Remove(region) => Some(region.as_str()),
            _ => None,
        })
        .collect();
    let regions = removed.join(", ");
    (!removed.is_empty())
        .then(|| format!("remove {regions} from {service} and stop its units there"))
}

async fn catalogue(session: &Session, filter: Option<&str>) -> Result<(), Failure> {
    let answer = session.read(v1::ListCatalogueRequest {}, async |channel, request| {
        contract::services(channel).list_catalogue(request).await
    });
    let filter = fold(filter.unwrap_or_default());
    let regions = answer.await?.regions.into_iter();
    let matching: Vec<RegionView> = regions
        .filter(|region| {
            [&region.name, &region.display_name].iter().any(|n| fold(n).contains(&filter))
        })
        .map(RegionView::from)
        .collect();
    session.output.list(&matching)
}

/// A name without what does not count in it.
fn fold(name: &str) -> String {
    name.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect()
}

async fn list(session: &Session) -> Result<(), Failure> {
    let service = service::about(session).await?;
    session.output.list(&lookup::locations(session, &service).await?)
}

async fn define(session: &Session, args: DefineArgs) -> Result<(), Failure> {
    let message = |context| v1::DefineRegionRequest {
        context: Some(context),
        name: args.name,
        display_name: args.display_name,
        latitude: args.latitude,
        longitude: args.longitude,
    };
    change(session, None, message, async |channel, request| {
        contract::cluster(channel).define_region(request).await
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_removals_are_asked_about() {
        let set = EditKind::Set(v1::SetRegion { region: "eastus".to_owned(), units: 2 });
        assert_eq!(removal("contoso", std::slice::from_ref(&set)), None);
        let edits = [set, EditKind::Remove("westus".to_owned()), EditKind::Remove("a".to_owned())];
        assert_eq!(
            removal("contoso", &edits).as_deref(),
            Some("remove westus, a from contoso and stop its units there")
        );
    }
}
