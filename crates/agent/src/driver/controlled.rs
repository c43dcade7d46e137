//! Units that run Meridian's own gateway, in a process or a container. The driver observes and
//! controls them over their control socket.

use std::future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use meridian_domain::{Incarnation, Revision, UnitId};
use rustix::process::Pid;

use super::units::Units;
use super::{ExitStatus, Phase};

mod configuration;
mod control;
mod supervise;

pub(super) use control::{Control, ControlError, Identity};
pub(super) use supervise::Supervisor;

/// The process or container that a unit runs in.
pub(super) trait Instance: Send + 'static {
    /// True if this process run of the agent started it. An adopted instance may serve although it
    /// does not respond, so it is not killed after the start timeout: only the log removes
    /// capacity.
    fn is_new(&self) -> bool;

    /// Completes the start, before the unit can be reached.
    fn prepare(&mut self) -> impl Future<Output = io::Result<()>> + Send {
        future::ready(Ok(()))
    }

    /// Attaches to the process that listens on the control socket, so that it can be killed even if
    /// it does not respond. `is_locked` returns true if a process of this incarnation runs.
    fn attach(&mut self, _: Pid, _is_locked: impl Fn() -> bool) -> io::Result<()> {
        Ok(())
    }

    /// Returns once it has exited. Pends forever if the exit cannot be awaited. Cancel-safe.
    fn exited(&mut self) -> impl Future<Output = ExitStatus> + Send;

    /// True if an instance whose exit cannot be awaited has exited.
    fn has_exited(&self, is_locked: impl Fn() -> bool) -> bool;

    /// Called when the instance has exited while another process holds the incarnation's lock.
    /// Returns true if this instance now refers to that process.
    fn switch_to_lock_holder(&mut self) -> bool;

    /// Kills the instance.
    fn kill(&mut self) -> impl Future<Output = ()> + Send;

    /// Returns the last line of its output.
    fn output_tail(
        &self,
        units: &Units,
        incarnation: Incarnation,
    ) -> impl Future<Output = Option<String>> + Send;

    /// Removes what remains after its exit.
    fn remove(&mut self) -> impl Future<Output = ()> + Send {
        future::ready(())
    }
}

impl Units {
    /// Records the identity and state that a unit reported.
    fn record_identity(
        &self,
        incarnation: Incarnation,
        identity: Identity,
        connection: Option<&Control>,
    ) {
        let pid = connection.and_then(|control| control.peer().ok().flatten());
        self.change(|table| {
            table.update(incarnation, |unit| {
                unit.pid = pid.and_then(|pid| pid.as_raw_nonzero().get().try_into().ok());
                unit.build = Some(identity.build);
                unit.configuration = identity.configuration;
                unit.address = identity.address;
                unit.load = identity.load;
                if !identity.waiting {
                    unit.phase = match &unit.phase {
                        Phase::Starting
                        | Phase::Unresponsive
                        | Phase::Unhealthy(_)
                        | Phase::Ready => Phase::Ready,
                        phase @ (Phase::Draining | Phase::Exited(_)) => phase.clone(),
                    };
                }
            });
        });
    }

    /// Records the configuration that a unit serves. A unit that waited for one is now ready.
    fn record_configuration(&self, incarnation: Incarnation, revision: Revision) {
        tracing::info!(%incarnation, configuration = %revision, "configuration in effect");
        self.change(|table| {
            table.update(incarnation, |unit| {
                unit.configuration = revision;
                unit.refused = None;
                if matches!(unit.phase, Phase::Starting | Phase::Unhealthy(_)) {
                    unit.phase = Phase::Ready;
                }
            });
        });
    }

    /// Checks that an identity is that of the unit.
    pub(super) fn check_identity(
        &self,
        incarnation: Incarnation,
        identity: &Identity,
    ) -> Result<(), ControlError> {
        let context = &self.context;
        let ours = identity.cluster == context.cluster && identity.agent == context.agent;
        if ours && identity.incarnation == incarnation {
            Ok(())
        } else {
            Err(ControlError::Foreign { cluster: identity.cluster, agent: identity.agent.clone() })
        }
    }

    /// Takes a duplicate of a unit's listening socket, unless the driver has one.
    async fn adopt_listener(&self, control: &mut Control, unit: &UnitId, address: SocketAddr) {
        let key = (unit.service.clone(), address);
        if self.table().listener(&key).is_some() {
            return;
        }
        match control.take_listener(address).await {
            Ok(listener) => {
                tracing::info!(%address, "adopted the listening socket");
                self.change(|table| table.insert_listener(key, Arc::new(listener)));
            }
            Err(error) => tracing::warn!(%address, %error, "cannot adopt the listening socket"),
        }
    }
}
