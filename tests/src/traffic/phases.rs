//! What happens meanwhile, one thing after another.

use std::fmt;

use anyhow::ensure;

use crate::load::{Backend, Load, Plan};

use super::cluster::{Cluster, wait};
use super::lanes::{API, Backends, FIRST, NEIGHBOUR};

/// How many units the region in which most happens has, phase by phase.
const MANY: usize = 8;
const SOME: usize = 4;
/// How many units its neighbour has.
const BESIDE: usize = 2;

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Nothing,
    Grow,
    Shrink,
    GrowAgain,
    Roll,
    ChangeApi,
    KillAgent,
    AgentBack,
    KillNeighbour,
    NeighbourBack,
    KillUnit,
    End,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Nothing => "one unit",
            Self::Grow => "1 to 8 units",
            Self::Shrink => "8 units to 1",
            Self::GrowAgain => "1 to 4 units",
            Self::Roll => "units replaced",
            Self::ChangeApi => "API changed",
            Self::KillAgent => "agent killed",
            Self::AgentBack => "agent back",
            Self::KillNeighbour => "neighbour killed",
            Self::NeighbourBack => "neighbour back",
            Self::KillUnit => "unit killed",
            Self::End => "last calls",
        })
    }
}

impl Phase {
    /// All but the end.
    pub(super) const ALL: [Self; 11] = [
        Self::Nothing,
        Self::Grow,
        Self::Shrink,
        Self::GrowAgain,
        Self::Roll,
        Self::ChangeApi,
        Self::KillAgent,
        Self::AgentBack,
        Self::KillNeighbour,
        Self::NeighbourBack,
        Self::KillUnit,
    ];

    /// Has it happen, and returns once the cluster is done with it.
    pub(super) async fn run(self, cluster: &Cluster, backends: &Backends) -> anyhow::Result<()> {
        match self {
            Self::Nothing | Self::End => Ok(()),
            Self::Grow => cluster.scale(FIRST, MANY).await,
            Self::Shrink => cluster.scale(FIRST, 1).await,
            Self::GrowAgain => cluster.scale(FIRST, SOME).await,
            Self::Roll => cluster.roll(FIRST).await,
            Self::ChangeApi => change(cluster, backends).await,
            Self::KillAgent => cluster.kill_agent(FIRST),
            Self::AgentBack => cluster.start_agent(FIRST).await,
            Self::KillNeighbour => cluster.kill_agent(NEIGHBOUR),
            Self::NeighbourBack => cluster.start_agent(NEIGHBOUR).await,
            Self::KillUnit => cluster.kill_unit(FIRST).await,
        }
    }

    /// The region in which a unit was killed, so that calls which ran on it may have failed.
    pub(super) fn kills_in(self) -> Option<usize> {
        (self == Self::KillUnit).then_some(FIRST)
    }
}

/// Gives both regions their units, and publishes the API. Returns once all of that is served.
pub(super) async fn prepare(cluster: &Cluster, backends: &Backends) -> anyhow::Result<()> {
    cluster.scale(FIRST, 1).await?;
    cluster.scale(NEIGHBOUR, BESIDE).await?;
    publish(cluster, &backends.first).await?;
    for region in [FIRST, NEIGHBOUR] {
        let plan = Plan::download(cluster.gateway(region), API, 1);
        wait("the gateways to answer", async || {
            // On a connection each, so that every unit is asked now and then.
            let counts = Load::start(plan.clone().without_keep_alive().requests(20)).finish().await;
            ensure!(counts.failed() == 0, "{counts}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// Sends the calls to the other backend, and makes sure that they go there.
async fn change(cluster: &Cluster, backends: &Backends) -> anyhow::Result<()> {
    publish(cluster, &backends.second).await?;
    let (first, second) = (&backends.first, &backends.second);
    wait("calls to go to the other backend", async || {
        let before = (first.answered(), second.answered());
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        let (old, new) = (first.answered() - before.0, second.answered() - before.1);
        ensure!(old == 0 && new > 0, "in half a second, {old} went to the old one, {new} did not");
        Ok(())
    })
    .await
}

async fn publish(cluster: &Cluster, backend: &Backend) -> anyhow::Result<()> {
    cluster.publish("orders", API, backend.address()).await
}
