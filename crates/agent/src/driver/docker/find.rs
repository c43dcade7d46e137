//! Finds the containers of earlier process runs, and distinguishes them from all others.

use std::sync::Arc;

use meridian_domain::Incarnation;

use super::container::Container;
use super::engine::{EngineError, Listed};
use super::{Inner, UNIT_DIRECTORY, labels};
use crate::driver::run_directory::Intent;

impl Inner {
    /// Returns once the engine has responded and the containers of earlier process runs are adopted
    /// or removed.
    pub(super) async fn ensure_adopted(self: &Arc<Self>) -> Result<(), EngineError> {
        self.adopted.get_or_try_init(|| self.adopt()).await.copied()
    }

    /// Adopts the containers of running units, and removes those of units that have exited.
    async fn adopt(self: &Arc<Self>) -> Result<(), EngineError> {
        let is_running = |(intent, container): &(Intent, Listed)| {
            container.runs && self.running.contains(&intent.incarnation)
        };
        let (running, exited): (Vec<_>, Vec<_>) =
            self.own_containers().await?.into_iter().partition(is_running);
        // Fallible steps first: if one fails, the whole adoption is retried, and no unit may be
        // adopted twice.
        for (Intent { incarnation, .. }, Listed { id, .. }) in exited {
            tracing::info!(%incarnation, id, "removing the container of an exited unit");
            self.engine.remove(&id).await?;
        }
        for (intent, Listed { id, .. }) in running {
            let incarnation = intent.incarnation;
            if self.units.is_running(incarnation) {
                tracing::error!(
                    %incarnation, id,
                    "ignoring a second container of a running unit"
                );
                continue;
            }
            tracing::info!(unit = %intent.unit, %incarnation, id, "adopting running unit");
            self.supervise(&intent, Container::adopted(&self.engine, id), None);
        }
        for incarnation in self.running.iter().filter(|it| !self.units.is_running(**it)) {
            tracing::error!(%incarnation, "the unit is running but has no container of this agent");
        }
        Ok(())
    }

    /// Returns the id of the running container of an incarnation whose lock is held.
    pub(super) async fn running_container(
        &self,
        incarnation: Incarnation,
    ) -> Result<String, EngineError> {
        let of = |(intent, container): &(Intent, Listed)| {
            intent.incarnation == incarnation && container.runs
        };
        let running = self.own_containers().await?.into_iter().find(of);
        running.map(|(_, container)| container.id).ok_or_else(|| EngineError::NoContainer {
            socket: self.engine.socket().to_owned(),
            incarnation,
        })
    }

    /// Removes every container of an incarnation whose unit is not running. There is at most one:
    /// an earlier process run created it but did not start it.
    pub(super) async fn remove_containers(
        &self,
        incarnation: Incarnation,
    ) -> Result<(), EngineError> {
        for (intent, container) in self.own_containers().await? {
            if intent.incarnation == incarnation {
                self.engine.remove(&container.id).await?;
            }
        }
        Ok(())
    }

    /// Lists the containers of this agent that have a directory of this run directory mounted.
    async fn own_containers(&self) -> Result<Vec<(Intent, Listed)>, EngineError> {
        let context = &self.units.context;
        let filters = labels::filters(context.cluster, &context.agent);
        let listed = self.engine.list(filters).await?;
        let own = listed.into_iter().filter_map(|container| {
            let intent = match labels::read(&container.labels, context.generation) {
                Ok(intent) => intent,
                Err(error) => {
                    tracing::warn!(
                        id = container.id, %error,
                        "ignoring a container with invalid labels"
                    );
                    return None;
                }
            };
            let directory = self.units.run.unit_directory(intent.incarnation);
            let is_mounted = container
                .mounts
                .iter()
                .any(|(source, target)| directory == source.as_path() && target == UNIT_DIRECTORY);
            is_mounted.then_some((intent, container))
        });
        Ok(own.collect())
    }
}
