//! `meridian api`.

use meridian_domain::nearest::{did_you_mean, nearest};
use meridian_proto::v1;
use meridian_proto::v1::edit::Edit as EditKind;

use crate::cli::{ApiCommand, Backend, PublishArgs};

use super::failure::Failure;
use super::lookup;
use super::service;
use super::session::Session;

/// Runs a `meridian api` command.
///
/// # Errors
/// The failure of the subcommand.
pub async fn run(session: &Session, command: ApiCommand) -> Result<(), Failure> {
    match command {
        ApiCommand::Publish(args) => {
            let api = api(args)?;
            let service = service::selected(session).await?;
            service::edit(session, service, vec![EditKind::PublishApi(api)]).await
        }
        ApiCommand::List(_) => {
            let service = service::selected(session).await?;
            session.output.list(&lookup::apis(session, &service).await?)
        }
        ApiCommand::Show(args) => show(session, &args.name).await,
        ApiCommand::Remove(args) => remove(session, args.name).await,
    }
}

async fn show(session: &Session, name: &str) -> Result<(), Failure> {
    let service = service::selected(session).await?;
    let apis = lookup::apis(session, &service).await?;
    match apis.iter().find(|api| api.name == name) {
        Some(api) => session.output.one(api, |api| session.output.table(std::slice::from_ref(api))),
        None => {
            let nearest = nearest(name, apis.iter().map(|api| api.name.as_str()));
            let hint = did_you_mean(&nearest);
            Err(Failure::Refused {
                cause: format!("{service} has no API {name}{hint}"),
                next: format!("`meridian api list --service {service}` lists its APIs"),
            })
        }
    }
}

async fn remove(session: &Session, name: String) -> Result<(), Failure> {
    let service = service::selected(session).await?;
    let consequence = format!("remove API {name} from {service}");
    let edits = vec![EditKind::RemoveApi(name)];
    service::confirm_edits(session, &service, &edits, &consequence).await?;
    service::edit(session, service, edits).await
}

/// The API that the arguments describe.
fn api(args: PublishArgs) -> Result<v1::Api, Failure> {
    let (regional, default): (Vec<Backend>, Vec<Backend>) =
        args.backends.into_iter().partition(|backend| backend.region.is_some());
    let [default] = default.as_slice() else {
        return Err(Failure::Usage {
            cause: match default.as_slice() {
                [] => "no default backend: every --backend names a region".to_owned(),
                several => format!("{} default backends: only one is possible", several.len()),
            },
            next: "use --backend URL once, and --backend REGION=URL for each region that differs"
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
