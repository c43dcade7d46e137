//! `meridian network`.

use meridian_proto::v1;

use crate::cli::NetworkCommand;

use super::change::{Intent, change};
use super::confirm::confirm;
use super::contract;
use super::failure::Failure;
use super::session::Session;
use super::view::NetworkView;

/// Runs a `meridian network` command.
///
/// # Errors
/// The failure of the subcommand.
pub async fn run(session: &Session, command: NetworkCommand) -> Result<(), Failure> {
    match command {
        NetworkCommand::List(_) => list(session).await,
        NetworkCommand::Set(args) => {
            let assigned = args
                .networks
                .into_iter()
                .map(|it| v1::Network { network: it.network.to_string(), region: it.region });
            send(session, assigned.collect(), Vec::new()).await
        }
        NetworkCommand::Remove(args) => {
            let networks: Vec<_> = args.networks.iter().map(ToString::to_string).collect();
            confirm(session, &format!("remove {}", networks.join(", ")))?;
            send(session, Vec::new(), networks).await
        }
    }
}

async fn list(session: &Session) -> Result<(), Failure> {
    let request = v1::ListNetworksRequest { consistency: session.consistency().into() };
    let response = session.read(request, async |channel, request| {
        contract::routing(channel).list_networks(request).await
    });
    let networks = response.await?.networks.into_iter().map(NetworkView::from);
    session.output.list(&networks.collect::<Vec<_>>())
}

async fn send(
    session: &Session,
    assign: Vec<v1::Network>,
    remove: Vec<String>,
) -> Result<(), Failure> {
    let message = |context| v1::ChangeNetworksRequest { context: Some(context), assign, remove };
    change(session, Intent::default(), message, async |channel, request| {
        contract::routing(channel).change_networks(request).await
    })
    .await
}
