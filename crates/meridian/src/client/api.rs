//! `meridian api`.

use meridian_domain::nearest::nearest;
use meridian_proto::v1;
use meridian_proto::v1::edit::Edit as EditKind;

use crate::cli::{ApiCommand, Backend, PublishArgs};

use super::failure::Failure;
use super::lookup;
use super::output::table;
use super::service;
use super::session::Session;

/// Runs a `meridian api` command.
///
/// # Errors
/// As its parts.
pub async fn run(session: &Session, command: ApiCommand) -> Result<(), Failure> {
    match command {
        ApiCommand::Publish(args) => {
            let api = api(args)?;
            let service = service::about(session).await?;
            service::edit(session, service, vec![EditKind::PublishApi(api)]).await
        }
        ApiCommand::List => {
            let service = service::about(session).await?;
            session.output.list(&lookup::apis(session, &service).await?)
        }
        ApiCommand::Show { name } => show(session, &name).await,
        ApiCommand::Remove { name } => {
            let service = service::about(session).await?;
            let removal = format!("remove the API {name} from {service}");
            let edits = vec![EditKind::RemoveApi(name)];
            service::edit_if_agreed(session, service, edits, &removal).await
        }
    }
}

async fn show(session: &Session, name: &str) -> Result<(), Failure> {
    let service = service::about(session).await?;
    let apis = lookup::apis(session, &service).await?;
    match apis.iter().find(|api| api.name == name) {
        Some(api) => session.output.one(api, |api| table(std::slice::from_ref(api))),
        None => {
            let nearest = nearest(name, apis.iter().map(|api| api.name.as_str()));
            let hint = match nearest.first() {
                Some(nearest) => format!("; did you mean {nearest}?"),
                None => String::new(),
            };
            Err(Failure::Refused {
                cause: format!("{service} has no API {name}{hint}"),
                next: format!("`meridian api list --service {service}` lists its APIs"),
            })
        }
    }
}

/// The API that was typed.
fn api(args: PublishArgs) -> Result<v1::Api, Failure> {
    let (regional, default): (Vec<Backend>, Vec<Backend>) =
        args.backends.into_iter().partition(|backend| backend.region.is_some());
    let [default] = default.as_slice() else {
        return Err(Failure::Usage {
            cause: match default.as_slice() {
                [] => "every --backend has a region, and none is for all others".to_owned(),
                several => format!("{} backends are given without a region", several.len()),
            },
            next: "give --backend URL once, and --backend REGION=URL for each region that differs"
                .to_owned(),
        });
    };
    let regional_backends = regional.into_iter().map(|backend| v1::RegionalBackend {
        region: backend.region.unwrap_or_default(),
        backend: backend.url.into(),
    });
    Ok(v1::Api {
        name: args.name,
        path: args.path.into(),
        backend: default.url.to_string(),
        regional_backends: regional_backends.collect(),
        connect_timeout_ms: args.connect_timeout,
        response_timeout_ms: args.response_timeout,
        idle_timeout_ms: args.idle_timeout,
    })
}
