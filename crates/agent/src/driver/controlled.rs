//! Units that are Meridian's own: whatever they run in, they answer a control socket, and are asked,
//! told and ended by it.

use std::future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use meridian_domain::{Incarnation, Revision};
use rustix::process::Pid;

use super::units::Units;
use super::{ExitStatus, Phase};

mod configuration;
mod control;
mod supervise;
mod traffic;

pub(super) use control::{CallError, Control, Identity};
pub(super) use supervise::Supervisor;
pub(crate) use traffic::describe_metrics;

/// What a unit runs in, as far as its driver has hold of it.
pub(super) trait Body: Send + 'static {
    /// Whether this life of the agent started it. What was found may serve though it does not
    /// answer, and only the log takes capacity away.
    fn is_new(&self) -> bool;

    /// Does what the unit needs before it can be reached.
    fn prepare(&mut self) -> impl Future<Output = io::Result<()>> + Send {
        future::ready(Ok(()))
    }

    /// Takes hold of it by the process that listens on its control socket, also if that does not
    /// answer. `is_locked` says whether some process is this incarnation.
    fn take_hold(&mut self, _: Pid, _is_locked: impl Fn() -> bool) -> io::Result<()> {
        Ok(())
    }

    /// Returns once it has ended, and never where nobody is told. Safe to cancel.
    fn ended(&mut self) -> impl Future<Output = ExitStatus> + Send;

    /// Whether one whose end nobody is told has ended.
    fn is_gone(&self, is_locked: impl Fn() -> bool) -> bool;

    /// It has ended, and yet some process is this incarnation. Whether that one is to be watched
    /// from now on.
    fn is_displaced(&mut self) -> bool;

    /// Ends it at once.
    fn kill(&mut self) -> impl Future<Output = ()> + Send;

    /// What the unit wrote last before it ended.
    fn last_words(
        &self,
        units: &Units,
        incarnation: Incarnation,
    ) -> impl Future<Output = Option<String>> + Send;

    /// Removes what is left of it.
    fn remove(&mut self) -> impl Future<Output = ()> + Send {
        future::ready(())
    }
}

impl Units {
    /// Notes what a unit said of itself.
    fn know(&self, incarnation: Incarnation, identity: Identity, link: Option<&Control>) {
        let pid = link.and_then(|control| control.peer().ok().flatten());
        self.change(|table| {
            table.update(incarnation, |unit| {
                unit.pid = pid.and_then(|pid| pid.as_raw_nonzero().get().try_into().ok());
                unit.build = Some(identity.build);
                unit.configuration = identity.configuration;
                unit.address = identity.address;
                unit.load = identity.load;
                if !identity.waiting && matches!(unit.phase, Phase::Starting | Phase::Silent) {
                    unit.phase = Phase::Ready;
                }
            });
        });
    }

    /// Notes what a unit serves from now on. One that waited for that is ready.
    fn serves(&self, incarnation: Incarnation, revision: Revision) {
        tracing::info!(%incarnation, configuration = %revision, "serves a configuration");
        self.change(|table| {
            table.update(incarnation, |unit| {
                unit.configuration = revision;
                if unit.phase == Phase::Starting {
                    unit.phase = Phase::Ready;
                }
            });
        });
    }

    /// Refuses to take something else for the unit.
    pub(super) fn check(
        &self,
        incarnation: Incarnation,
        identity: &Identity,
    ) -> Result<(), CallError> {
        let premises = &self.premises;
        let ours = identity.cluster == premises.cluster && identity.agent == premises.agent;
        if ours && identity.incarnation == incarnation {
            Ok(())
        } else {
            Err(CallError::Foreign { cluster: identity.cluster, agent: identity.agent.clone() })
        }
    }

    /// Takes the listening socket of a unit, unless it is here already.
    async fn adopt_listener(&self, control: &mut Control, address: SocketAddr) {
        if self.table().listener(address).is_some() {
            return;
        }
        match control.take_listener(address).await {
            Ok(listener) => {
                tracing::info!(%address, "took the listening socket over");
                self.change(|table| table.keep_listener(address, Arc::new(listener)));
            }
            Err(error) => tracing::warn!(%address, %error, "no listening socket was handed over"),
        }
    }
}
