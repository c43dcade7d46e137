//! Finding containers of the agent's earlier lives, and telling them from all others.

use std::sync::Arc;

use meridian_domain::Incarnation;

use super::container::Container;
use super::engine::{EngineError, Listed};
use super::{Inner, UNIT_DIRECTORY, labels};
use crate::driver::run_directory::Intent;

impl Inner {
    /// Returns once the engine has answered, with the containers of earlier lives adopted or removed.
    pub(super) async fn found(self: &Arc<Self>) -> Result<(), EngineError> {
        self.found.get_or_try_init(|| self.find()).await.copied()
    }

    /// Watches over the containers that run, and removes those of units that do not live.
    async fn find(self: &Arc<Self>) -> Result<(), EngineError> {
        let lives = |(intent, container): &(Intent, Listed)| {
            container.runs && self.living.contains(&intent.incarnation)
        };
        let (living, dead): (Vec<_>, Vec<_>) = self.ours().await?.into_iter().partition(lives);
        // First what may fail: nothing is watched twice when all of this is tried again.
        for (Intent { incarnation, .. }, Listed { id, .. }) in dead {
            tracing::info!(%incarnation, id, "removed: what it ran for is gone");
            self.engine.remove(&id).await?;
        }
        for (intent, Listed { id, .. }) in living {
            let incarnation = intent.incarnation;
            if self.units.runs(incarnation) {
                tracing::error!(%incarnation, id, "a second container of it is left alone");
                continue;
            }
            tracing::info!(unit = %intent.unit, %incarnation, id, "found running");
            self.supervise(&intent, Container::found(&self.engine, id), None);
        }
        for incarnation in self.living.iter().filter(|it| !self.units.runs(**it)) {
            tracing::error!(%incarnation, "a process runs here that no container of ours has");
        }
        Ok(())
    }

    /// The running container of an incarnation whose lock is held.
    pub(super) async fn running(&self, incarnation: Incarnation) -> Result<String, EngineError> {
        let of = |(intent, container): &(Intent, Listed)| {
            intent.incarnation == incarnation && container.runs
        };
        let running = self.ours().await?.into_iter().find(of);
        running.map(|(_, container)| container.id).ok_or_else(|| EngineError::NoContainer {
            socket: self.engine.socket().to_owned(),
            incarnation,
        })
    }

    /// Removes every container of an incarnation that does not live: at most one that an earlier life
    /// asked for and did not come to start.
    pub(super) async fn remove_all(&self, incarnation: Incarnation) -> Result<(), EngineError> {
        for (intent, container) in self.ours().await? {
            if intent.incarnation == incarnation {
                self.engine.remove(&container.id).await?;
            }
        }
        Ok(())
    }

    /// The containers of this agent that live in this run directory. Others are not even looked at.
    async fn ours(&self) -> Result<Vec<(Intent, Listed)>, EngineError> {
        let premises = &self.units.premises;
        let filters = labels::filters(premises.cluster, &premises.agent);
        let listed = self.engine.list(filters).await?;
        let ours = listed.into_iter().filter_map(|container| {
            let intent = match labels::read(&container.labels, premises.generation) {
                Ok(intent) => intent,
                Err(error) => {
                    tracing::warn!(id = container.id, %error, "a container is left alone");
                    return None;
                }
            };
            let directory = self.units.run.unit_directory(intent.incarnation);
            let lives_here = container
                .mounts
                .iter()
                .any(|(source, target)| directory == source.as_path() && target == UNIT_DIRECTORY);
            lives_here.then_some((intent, container))
        });
        Ok(ours.collect())
    }
}
