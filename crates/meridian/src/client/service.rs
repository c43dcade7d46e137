//! `meridian service`, and the selection of the service of a command.

use meridian_proto::v1;
use meridian_proto::v1::edit::Edit as EditKind;

use crate::cli::{CreateArgs, ServiceCommand, UpdateArgs};

use super::change::{Intent, change, rehearse};
use super::confirm::confirm;
use super::contract;
use super::failure::Failure;
use super::lookup;
use super::session::Session;
use super::view::ServiceDetailView;
use super::wait::{Goal, Regions};

/// Runs a `meridian service` command.
///
/// # Errors
/// The failure of the subcommand.
pub async fn run(session: &Session, command: ServiceCommand) -> Result<(), Failure> {
    match command {
        ServiceCommand::Create(args) => create(session, args).await,
        ServiceCommand::List(_) => session.output.list(&lookup::services(session).await?),
        ServiceCommand::Show(args) => show(session, &named(session, args.name).await?).await,
        ServiceCommand::Update(args) => update(session, args).await,
        ServiceCommand::Delete(args) => delete(session, args.name).await,
    }
}

async fn create(session: &Session, args: CreateArgs) -> Result<(), Failure> {
    let regions = Regions::Named([args.primary.clone()].into());
    let goal = Goal::Converged { service: args.name.clone(), regions };
    let message = |context| v1::CreateServiceRequest {
        context: Some(context),
        service: args.name,
        tier: args.tier,
        primary: args.primary,
        port: args.port.map(u32::from),
        when_disabled: args.when_disabled,
    };
    change(session, Intent::with_goal(goal), message, async |channel, request| {
        contract::services(channel).create_service(request).await
    })
    .await
}

async fn show(session: &Session, name: &str) -> Result<(), Failure> {
    let locations = lookup::locations(session, name).await?;
    let apis = lookup::apis(session, name).await?;
    let services = lookup::services(session).await?;
    let service = services.into_iter().find(|service| service.name == name);
    // Its regions were read a moment ago.
    let service = service.ok_or_else(|| Failure::Refused {
        cause: format!("service {name} was just deleted"),
        next: "`meridian service list` lists the services".to_owned(),
    })?;
    let detail = ServiceDetailView { service, locations, apis };
    session.output.one(&detail, |detail| {
        let output = session.output;
        let service = output.table(std::slice::from_ref(&detail.service));
        let (locations, apis) = (output.table(&detail.locations), output.table(&detail.apis));
        format!("{service}\n{locations}\n{apis}")
    })
}

async fn update(session: &Session, args: UpdateArgs) -> Result<(), Failure> {
    let tier = args.tier.map(EditKind::Tier);
    let port = args.port.map(|port| EditKind::Port(port.into()));
    let primary = args.primary.map(EditKind::Promote);
    let routing = args.routing.map(EditKind::Routing);
    let when_disabled = args.when_disabled.map(EditKind::WhenDisabled);
    let edits = [tier, port, primary, routing, when_disabled].into_iter().flatten().collect();
    edit(session, args.name, edits).await
}

/// Sends the edits of a service as one change.
///
/// # Errors
/// Same as [`change`].
pub async fn edit(session: &Session, service: String, edits: Vec<EditKind>) -> Result<(), Failure> {
    let message = |context| edits_request(session, context, &service, &edits);
    change(session, intent(&service, &edits), message, async |channel, request| {
        contract::services(channel).change_service(request).await
    })
    .await
}

/// Asks the user to confirm `consequence`. Edits that would be rejected are rejected first, except
/// with a request id: a change that already happened would be rejected as a new one.
///
/// # Errors
/// The rejection, or as [`confirm`].
pub async fn confirm_edits(
    session: &Session,
    service: &str,
    edits: &[EditKind],
    consequence: &str,
) -> Result<(), Failure> {
    let options = &session.options;
    if !options.yes && !options.dry_run && options.request_id.is_none() {
        let message = |context| edits_request(session, context, service, edits);
        rehearse(session, &intent(service, edits), message, async |channel, request| {
            contract::services(channel).change_service(request).await
        })
        .await?;
    }
    confirm(session, consequence)
}

fn intent(service: &str, edits: &[EditKind]) -> Intent {
    let regions = Regions::touched(edits);
    Intent {
        goal: Some(Goal::Converged { service: service.to_owned(), regions }),
        edits: Some((service.to_owned(), edits.to_vec())),
        ..Intent::default()
    }
}

fn edits_request(
    session: &Session,
    context: v1::ChangeContext,
    service: &str,
    edits: &[EditKind],
) -> v1::ChangeServiceRequest {
    v1::ChangeServiceRequest {
        context: Some(context),
        service: service.to_owned(),
        expected_revision: session.options.expect_revision,
        edits: edits.iter().map(|edit| v1::Edit { edit: Some(edit.clone()) }).collect(),
    }
}

async fn delete(session: &Session, name: String) -> Result<(), Failure> {
    confirm(session, &format!("delete service {name} and stop all of its units"))?;
    let goal = Goal::ServiceGone(name.clone());
    let message = |context| v1::DeleteServiceRequest {
        context: Some(context),
        service: name,
        expected_revision: session.options.expect_revision,
    };
    change(session, Intent::with_goal(goal), message, async |channel, request| {
        contract::services(channel).delete_service(request).await
    })
    .await
}

/// The service that is named as an operand, otherwise as in [`selected`].
///
/// # Errors
/// If `--service` names another one; otherwise as [`selected`].
pub async fn named(session: &Session, operand: Option<String>) -> Result<String, Failure> {
    match (operand, &session.options.service) {
        (Some(named), Some(option)) if named != *option => Err(Failure::Usage {
            cause: format!("two services are named: {named}, and {option} with --service"),
            next: "name one service".to_owned(),
        }),
        (Some(named), _) => Ok(named),
        (None, _) => selected(session).await,
    }
}

/// The service that `--service` names, or the only one.
///
/// # Errors
/// If none is named, and there is not exactly one.
pub async fn selected(session: &Session) -> Result<String, Failure> {
    if let Some(name) = &session.options.service {
        return Ok(name.clone());
    }
    let mut names: Vec<String> =
        lookup::services(session).await?.into_iter().map(|service| service.name).collect();
    match names.len() {
        1 => Ok(names.remove(0)),
        0 => Err(Failure::Refused {
            cause: "there is no service yet".to_owned(),
            next: "create one: `meridian service create NAME --primary REGION`".to_owned(),
        }),
        count => Err(Failure::Usage {
            cause: format!("there are {count} services: {}", names.join(", ")),
            next: "name one with --service".to_owned(),
        }),
    }
}
