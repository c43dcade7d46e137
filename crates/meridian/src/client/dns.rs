//! `meridian dns`.

use meridian_proto::v1;

use crate::cli::{DnsCommand, DnsSettingArgs};

use super::change::{Intent, change};
use super::confirm::confirm;
use super::contract;
use super::failure::Failure;
use super::session::Session;
use super::view::DnsView;

/// Runs a `meridian dns` command.
///
/// # Errors
/// The failure of the subcommand.
pub async fn run(session: &Session, command: DnsCommand) -> Result<(), Failure> {
    match command {
        DnsCommand::Show(_) => {
            let view = DnsView::from(read(session).await?);
            session.output.one(&view, |view| session.output.table(std::slice::from_ref(view)))
        }
        DnsCommand::Delegation(_) => delegation(session, read(session).await?.delegation),
        DnsCommand::Set(args) => set(session, args.settings).await,
    }
}

/// Prints the records as a zone file, or as JSON.
fn delegation(session: &Session, records: Vec<String>) -> Result<(), Failure> {
    if records.is_empty() {
        return Err(Failure::Refused {
            cause: "no zone is configured".to_owned(),
            next: "set one with `meridian dns set --zone ZONE`".to_owned(),
        });
    }
    session.output.one(&records, |records| records.iter().map(|it| format!("{it}\n")).collect())
}

async fn read(session: &Session) -> Result<v1::GetDnsResponse, Failure> {
    let request = v1::GetDnsRequest { consistency: session.consistency().into() };
    let response = session
        .read(request, async |channel, request| contract::routing(channel).get_dns(request).await);
    response.await
}

async fn set(session: &Session, given: DnsSettingArgs) -> Result<(), Failure> {
    let current = read(session).await?.settings;
    let current = current.ok_or(Failure::InvalidResponse { what: "the settings" })?;
    let zone = given.zone.map(|zone| zone.0.map(|zone| zone.to_string()).unwrap_or_default());
    if !current.zone.is_empty() && zone.as_ref().is_some_and(|zone| *zone != current.zone) {
        confirm(session, &format!("end the names in {}, which clients may use", current.zone))?;
    }
    let settings = v1::DnsSettings {
        zone: zone.unwrap_or(current.zone),
        ttl_seconds: given.ttl.map_or(current.ttl_seconds, u32::from),
        fallback_regions: given.fallback_regions.map_or(current.fallback_regions, u32::from),
        name_servers: given.name_servers.map_or(current.name_servers, |agents| agents.0),
    };
    let message = |context| v1::SetDnsRequest { context: Some(context), settings: Some(settings) };
    change(session, Intent::default(), message, async |channel, request| {
        contract::routing(channel).set_dns(request).await
    })
    .await
}
