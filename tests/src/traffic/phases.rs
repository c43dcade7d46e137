//! The changes and crashes, in sequence.

use std::fmt;
use std::time::Duration;

use anyhow::ensure;

use crate::load::{Backend, Load, Plan};

use super::cluster::{Cluster, wait};
use super::workloads::{API, Backends, FIRST, NEIGHBOR};

/// Numbers of units in the first region.
const MANY: usize = 8;
const SOME: usize = 4;
/// Maximum time from the kill of a region until no client connects to it.
const MOVE: Duration = Duration::from_secs(8);
/// Number of units in the neighbor region.
const NEIGHBOR_UNITS: usize = 2;

/// A phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Baseline,
    Grow,
    Shrink,
    GrowAgain,
    Roll,
    ChangeApi,
    KillAgent,
    RestartAgent,
    KillNeighbor,
    RestartNeighbor,
    KillUnit,
    DisableRegion,
    EnableRegion,
    RemoveRegion,
    AddRegion,
    KillRegion,
    LoseRegion,
    StartRegion,
    End,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Baseline => "one unit",
            Self::Grow => "1 to 8 units",
            Self::Shrink => "8 units to 1",
            Self::GrowAgain => "1 to 4 units",
            Self::Roll => "units replaced",
            Self::ChangeApi => "API changed",
            Self::KillAgent => "agent killed",
            Self::RestartAgent => "agent restarted",
            Self::KillNeighbor => "other killed",
            Self::RestartNeighbor => "other restarted",
            Self::KillUnit => "unit killed",
            Self::DisableRegion => "region disabled",
            Self::EnableRegion => "region enabled",
            Self::RemoveRegion => "region removed",
            Self::AddRegion => "region added",
            Self::KillRegion => "region killed",
            Self::LoseRegion => "region lost",
            Self::StartRegion => "region started",
            Self::End => "final requests",
        })
    }
}

impl Phase {
    /// The phases with clients of one address.
    pub(super) const UNITS: [Self; 11] = [
        Self::Baseline,
        Self::Grow,
        Self::Shrink,
        Self::GrowAgain,
        Self::Roll,
        Self::ChangeApi,
        Self::KillAgent,
        Self::RestartAgent,
        Self::KillNeighbor,
        Self::RestartNeighbor,
        Self::KillUnit,
    ];

    /// The phases with clients that resolve a name.
    pub(super) const REGIONS: [Self; 7] = [
        Self::DisableRegion,
        Self::EnableRegion,
        Self::RemoveRegion,
        Self::AddRegion,
        Self::KillRegion,
        Self::LoseRegion,
        Self::StartRegion,
    ];

    /// Makes the change or crash, and waits until it is complete.
    pub(super) async fn run(self, cluster: &Cluster, backends: &Backends) -> anyhow::Result<()> {
        match self {
            Self::Baseline | Self::LoseRegion | Self::End => Ok(()),
            Self::Grow => cluster.scale(FIRST, MANY).await,
            Self::Shrink => cluster.scale(FIRST, 1).await,
            Self::GrowAgain => cluster.scale(FIRST, SOME).await,
            Self::Roll => cluster.roll(FIRST).await,
            Self::ChangeApi => change(cluster, backends).await,
            Self::KillAgent => cluster.kill_agent(FIRST),
            Self::RestartAgent => cluster.start_agent(FIRST).await,
            Self::KillNeighbor => cluster.kill_agent(NEIGHBOR),
            Self::RestartNeighbor => cluster.start_agent(NEIGHBOR).await,
            Self::KillUnit => cluster.kill_unit(FIRST).await,
            Self::DisableRegion => cluster.change("disable", NEIGHBOR).await,
            Self::EnableRegion => cluster.change("enable", NEIGHBOR).await,
            Self::RemoveRegion => cluster.change("remove", NEIGHBOR).await,
            Self::AddRegion => cluster.scale(NEIGHBOR, NEIGHBOR_UNITS).await,
            Self::KillRegion => {
                cluster.kill_region(NEIGHBOR)?;
                tokio::time::sleep(MOVE).await;
                Ok(())
            }
            Self::StartRegion => cluster.start_region(NEIGHBOR, NEIGHBOR_UNITS).await,
        }
    }

    /// Returns the region in which units are killed: requests in flight on them may fail.
    pub(super) fn killed_region(self) -> Option<usize> {
        match self {
            Self::KillUnit => Some(FIRST),
            Self::KillRegion => Some(NEIGHBOR),
            _ => None,
        }
    }

    /// Returns true if clients may be refused: until the loss is agreed on, and for the time to live
    /// of the name, they connect to gateways that were killed.
    pub(super) fn may_refuse(self) -> bool {
        self == Self::KillRegion
    }
}

/// Scales both regions and publishes the API. Waits until it is served.
pub(super) async fn prepare(cluster: &Cluster, backends: &Backends) -> anyhow::Result<()> {
    cluster.scale(FIRST, 1).await?;
    cluster.scale(NEIGHBOR, NEIGHBOR_UNITS).await?;
    publish(cluster, &backends.first).await?;
    for region in [FIRST, NEIGHBOR] {
        let plan = Plan::download(cluster.gateway(region), API, 1);
        wait("the gateways to serve the API", async || {
            // With a new connection each, requests reach every unit eventually.
            let counts = Load::start(plan.clone().without_keep_alive().requests(20)).finish().await;
            ensure!(counts.failed() == 0, "{counts}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// Changes the backend of the API, and verifies that requests reach it.
async fn change(cluster: &Cluster, backends: &Backends) -> anyhow::Result<()> {
    publish(cluster, &backends.second).await?;
    let (first, second) = (&backends.first, &backends.second);
    wait("requests to reach the new backend", async || {
        let before = (first.requests(), second.requests());
        tokio::time::sleep(Duration::from_millis(500)).await;
        let (old, new) = (first.requests() - before.0, second.requests() - before.1);
        ensure!(
            old == 0 && new > 0,
            "in half a second, {old} requests reached the old backend and {new} the new one"
        );
        Ok(())
    })
    .await
}

async fn publish(cluster: &Cluster, backend: &Backend) -> anyhow::Result<()> {
    cluster.publish("orders", API, backend.address()).await
}
