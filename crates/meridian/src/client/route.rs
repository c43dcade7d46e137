//! `meridian route`.

use meridian_proto::v1;
use meridian_proto::v1::client_location::Location;

use crate::cli::RouteArgs;

use super::contract;
use super::failure::Failure;
use super::service;
use super::session::Session;
use super::view::{ForecastView, RouteView};

/// Runs `meridian route`.
///
/// # Errors
/// If there is no such service or region, or no agent responded.
pub async fn show(session: &Session, args: RouteArgs) -> Result<(), Failure> {
    let service = service::selected(session).await?;
    if !args.without.is_empty() {
        return forecast(session, service, args.without).await;
    }
    let near = args.near.map(Location::Region);
    let from = args.from.map(|from| {
        let (latitude, longitude) = (from.latitude, from.longitude);
        Location::Coordinates(v1::Coordinates { latitude, longitude })
    });
    let address = args.client_ip.map(|address| Location::Address(address.to_string()));
    let request = v1::GetRouteRequest {
        consistency: session.consistency().into(),
        service,
        client: Some(v1::ClientLocation { location: near.or(from).or(address) }),
    };
    let response = session.read(request, async |channel, request| {
        contract::routing(channel).get_route(request).await
    });
    let route = RouteView::from(response.await?);
    session.output.one(&route, |route| {
        format!("{}{}", route.headline(), session.output.table(&route.regions))
    })
}

async fn forecast(session: &Session, service: String, regions: Vec<String>) -> Result<(), Failure> {
    let consistency = session.consistency().into();
    let request = v1::ForecastLossRequest { consistency, service, regions };
    let response = session.read(request, async |channel, request| {
        contract::routing(channel).forecast_loss(request).await
    });
    let forecast = ForecastView::from(response.await?);
    session.output.one(&forecast, |forecast| match forecast.moves.is_empty() {
        true => format!("no client moves\n{}", forecast.conclusion()),
        false => format!("{}{}", session.output.table(&forecast.moves), forecast.conclusion()),
    })
}
