//! `meridian service`, and which service a command is about.

use meridian_proto::v1;
use meridian_proto::v1::edit::Edit as EditKind;

use crate::cli::{CreateArgs, ServiceCommand, UpdateArgs};

use super::change::{change, rehearse};
use super::confirm::confirm;
use super::contract;
use super::failure::Failure;
use super::lookup;
use super::output::table;
use super::session::Session;
use super::view::ServiceDetailView;
use super::wait::Goal;

/// Runs a `meridian service` command.
///
/// # Errors
/// As its parts.
pub async fn run(session: &Session, command: ServiceCommand) -> Result<(), Failure> {
    match command {
        ServiceCommand::Create(args) => create(session, args).await,
        ServiceCommand::List => session.output.list(&lookup::services(session).await?),
        ServiceCommand::Show { name } => show(session, &named(session, name).await?).await,
        ServiceCommand::Update(args) => update(session, args).await,
        ServiceCommand::Delete { name } => delete(session, name).await,
    }
}

async fn create(session: &Session, args: CreateArgs) -> Result<(), Failure> {
    let goal = Goal::ServiceConverged(args.name.clone());
    let message = |context| v1::CreateServiceRequest {
        context: Some(context),
        service: args.name,
        tier: args.tier,
        primary: args.primary,
        port: args.port.map(u32::from),
    };
    change(session, Some(goal), message, async |channel, request| {
        contract::services(channel).create_service(request).await
    })
    .await
}

async fn show(session: &Session, name: &str) -> Result<(), Failure> {
    let locations = lookup::locations(session, name).await?;
    let apis = lookup::apis(session, name).await?;
    let services = lookup::services(session).await?;
    let service = services.into_iter().find(|service| service.name == name);
    // It answered with its regions a moment ago.
    let service = service.ok_or_else(|| Failure::Refused {
        cause: format!("the service {name} was deleted just now"),
        next: "`meridian service list` lists the services".to_owned(),
    })?;
    let detail = ServiceDetailView { service, locations, apis };
    session.output.one(&detail, |detail| {
        let service = table(std::slice::from_ref(&detail.service));
        format!("{service}\n{}\n{}", table(&detail.locations), table(&detail.apis))
    })
}

async fn update(session: &Session, args: UpdateArgs) -> Result<(), Failure> {
    let tier = args.tier.map(EditKind::Tier);
    let port = args.port.map(|port| EditKind::Port(port.into()));
    let primary = args.primary.map(EditKind::Promote);
    let edits = [tier, port, primary].into_iter().flatten().collect();
    edit(session, args.name, edits).await
}

/// Asks for several edits of a service in one save.
///
/// # Errors
/// As [`change`].
pub async fn edit(session: &Session, service: String, edits: Vec<EditKind>) -> Result<(), Failure> {
    let goal = Goal::ServiceConverged(service.clone());
    let message = |context| edits_request(session, context, service, edits);
    change(session, Some(goal), message, async |channel, request| {
        contract::services(channel).change_service(request).await
    })
    .await
}

/// As [`edit`], once a person agreed to `what`. They are not asked about what would be refused; what is
/// asked for again may have happened, and would be refused as a new change.
///
/// # Errors
/// As [`confirm`] and [`edit`].
pub async fn edit_if_agreed(
    session: &Session,
    service: String,
    edits: Vec<EditKind>,
    what: &str,
) -> Result<(), Failure> {
    let global = &session.global;
    if !global.yes && !global.dry_run && global.request_id.is_none() {
        let message = |context| edits_request(session, context, service.clone(), edits.clone());
        rehearse(session, message, async |channel, request| {
            contract::services(channel).change_service(request).await
        })
        .await?;
    }
    confirm(session, what)?;
    edit(session, service, edits).await
}

fn edits_request(
    session: &Session,
    context: v1::ChangeContext,
    service: String,
    edits: Vec<EditKind>,
) -> v1::ChangeServiceRequest {
    v1::ChangeServiceRequest {
        context: Some(context),
        service,
        expected_revision: session.global.expect_revision,
        edits: edits.into_iter().map(|edit| v1::Edit { edit: Some(edit) }).collect(),
    }
}

async fn delete(session: &Session, name: String) -> Result<(), Failure> {
    confirm(session, &format!("delete the service {name} and stop all of its units"))?;
    let goal = Goal::ServiceGone(name.clone());
    let message = |context| v1::DeleteServiceRequest {
        context: Some(context),
        service: name,
        expected_revision: session.global.expect_revision,
    };
    change(session, Some(goal), message, async |channel, request| {
        contract::services(channel).delete_service(request).await
    })
    .await
}

/// The service that is named as an operand, or else as in [`about`].
///
/// # Errors
/// If another one is named by the flag; otherwise as [`about`].
pub async fn named(session: &Session, operand: Option<String>) -> Result<String, Failure> {
    match (operand, &session.global.service) {
        (Some(named), Some(flag)) if named != *flag => Err(Failure::Usage {
            cause: format!("two services are named: {named}, and {flag} with --service"),
            next: "name one, and the other in a command of its own".to_owned(),
        }),
        (Some(named), _) => Ok(named),
        (None, _) => about(session).await,
    }
}

/// The service that the command is about: the one that was named, or the only one that there is.
///
/// # Errors
/// If none was named and there is not exactly one.
pub async fn about(session: &Session) -> Result<String, Failure> {
    if let Some(name) = &session.global.service {
        return Ok(name.clone());
    }
    let mut names: Vec<String> =
        lookup::services(session).await?.into_iter().map(|service| service.name).collect();
    match names.len() {
        1 => Ok(names.remove(0)),
        0 => Err(Failure::Usage {
            cause: "there is no service yet".to_owned(),
            next: "create one: meridian service create NAME --primary REGION".to_owned(),
        }),
        count => Err(Failure::Usage {
            cause: format!("there are {count} services: {}", names.join(", ")),
            next: "name one with --service".to_owned(),
        }),
    }
}
