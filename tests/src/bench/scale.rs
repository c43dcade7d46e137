//! Time from an acknowledged scale to a ready unit.

use std::time::Duration;

use anyhow::Context as _;
use meridian_proto::v1;
use meridian_proto::v1::events_client::EventsClient;
use meridian_proto::v1::services_client::ServicesClient;
use tokio::time::{Instant, timeout};
use tonic::Streaming;
use tonic::transport::Channel;

use super::agents::{Agents, REGIONS};
use super::changes::{context, scale, timed};
use super::member::until;

const SERVICE: &str = "scaled";
/// Maximum number of units, reached one by one: the limit of a location.
const UNITS: u32 = 12;
/// Timeout for a unit to become ready.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Returns the time that each unit took. All units are stopped before this returns, even on an
/// error.
///
/// # Errors
/// If a unit does not become ready, or the units do not stop.
pub async fn measure(agents: &Agents) -> anyhow::Result<Vec<Duration>> {
    let channel = agents.connect(0).await?;
    let mut services = ServicesClient::new(channel.clone());
    let measured = units(&mut services, EventsClient::new(channel)).await;
    let stopped = stop(&mut services).await;
    let measured = measured?;
    stopped?;
    Ok(measured)
}

async fn units(
    services: &mut ServicesClient<Channel>,
    mut events: EventsClient<Channel>,
) -> anyhow::Result<Vec<Duration>> {
    let created = services.create_service(timed(v1::CreateServiceRequest {
        context: Some(context("")),
        service: SERVICE.to_owned(),
        tier: "premium".to_owned(),
        primary: REGIONS[0].to_owned(),
        port: None,
        when_disabled: None,
    }));
    let from = created.await?.into_inner().revision;
    let follow = v1::WatchRequest { from, follow: true, ..v1::WatchRequest::default() };
    let mut watch = events.watch(follow).await?.into_inner();
    ready(&mut watch).await.context("the first unit did not become ready")?;
    let mut elapsed = Vec::new();
    for units in 2..=UNITS {
        services.change_service(timed(scale(SERVICE, REGIONS[0], units, ""))).await?;
        let acknowledged = Instant::now();
        let ready = ready(&mut watch).await;
        elapsed.push(
            ready.with_context(|| format!("unit {units} did not become ready"))? - acknowledged,
        );
    }
    Ok(elapsed)
}

/// Waits for the next unit to become ready, and returns the time.
async fn ready(watch: &mut Streaming<v1::WatchResponse>) -> anyhow::Result<Instant> {
    let next = async {
        loop {
            let frame = watch.message().await?.context("the watch has ended")?;
            if frame.events.iter().any(|event| event.r#type == "UnitReady") {
                return Ok(Instant::now());
            }
        }
    };
    timeout(TIMEOUT, next).await.with_context(|| format!("not ready within {TIMEOUT:?}"))?
}

/// Deletes the service, and waits until no unit is left: units outlive their agents.
async fn stop(services: &mut ServicesClient<Channel>) -> anyhow::Result<()> {
    let delete = v1::DeleteServiceRequest {
        context: Some(context("")),
        service: SERVICE.to_owned(),
        expected_revision: None,
    };
    services.delete_service(timed(delete)).await?;
    until(async || {
        let request = timed(v1::ListUnitsRequest::default());
        let units = services.list_units(request).await?.into_inner().units.len();
        anyhow::ensure!(units == 0, "{units} units are still running");
        Ok(())
    })
    .await
}
