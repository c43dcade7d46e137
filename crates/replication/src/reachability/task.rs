//! Task of the leader that proposes losses.

use std::time::Duration;

use futures::future::join_all;
use meridian_domain::reachability::votes::count;
use meridian_domain::{Command, Origin, Verdict};
use meridian_storage::fuse::Fuse;
use meridian_storage::raft::LeaderId;
use meridian_storage::store::Store;
use tokio::time::{Instant, sleep, timeout};

use super::reports::ProbeReports;
use super::windows::Windows;
use crate::attempt::Attempt;
use crate::cluster_clock::ClusterClock;
use crate::instance::Raft;
use crate::last_failure::LastFailure;
use crate::sequencer::Sequencer;
use crate::suspension::Suspension;

/// Interval between counts: short against a window.
const INTERVAL: Duration = Duration::from_millis(100);
/// Timeout of a proposal. The next count proposes it again, if it is still due.
const PROPOSAL_TIMEOUT: Duration = Duration::from_secs(2);
/// Delay after a failed proposal.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Counts the votes while this node leads.
pub(crate) struct LossTask {
    pub raft: Raft,
    pub store: Store,
    pub sequencer: Sequencer,
    pub clocks: ClusterClock,
    pub reports: ProbeReports,
    pub suspension: Suspension,
    pub fuse: Fuse,
    /// Minimum time between losses of one agent.
    pub window: Duration,
}

impl LossTask {
    /// Runs until the fuse blows or the task is aborted.
    pub async fn run(self) {
        let (mut led, mut windows) = (None, Windows::default());
        let mut last_failure = LastFailure::default();
        loop {
            tokio::select! {
                () = sleep(INTERVAL) => {}
                _ = self.fuse.blown() => return,
            }
            let leads = self.led_term();
            if leads != led {
                led = leads;
                windows = Windows::default();
                self.reports.clear();
            }
            if led.is_none() {
                continue;
            }
            let result = self.round(&mut windows).await;
            let has_failed = result.is_err();
            if let Some(cause) = last_failure.record(result) {
                tracing::warn!(cause, "failed to record the reachability of gateways, retrying");
            }
            if has_failed {
                sleep(RETRY_DELAY).await;
            }
        }
    }

    /// Returns the term in which this node leads.
    fn led_term(&self) -> Option<LeaderId> {
        if self.suspension.is_active() {
            return None;
        }
        Some(self.raft.as_leader().ok()?.to_committed_leader_id())
    }

    async fn round(&self, windows: &mut Windows) -> Result<(), String> {
        let (now, time) = (Instant::now(), self.clocks.now());
        let voting = self.reports.voting(now);
        let due = {
            let state = self.store.state();
            let votes = count(&state, &voting);
            let due = windows.due(&state, &votes, self.window, now, time);
            self.reports.set_votes(votes);
            due
        };
        // Together, so that they share entries of the log.
        let results = join_all(due.into_iter().map(|command| self.record(command))).await;
        let failed = results.into_iter().filter_map(Result::err);
        let causes: Vec<String> = failed
            .map(|(command, cause)| {
                windows.forget(&command);
                cause
            })
            .collect();
        causes.into_iter().next().map_or(Ok(()), Err)
    }

    /// Proposes a command, and returns it with the cause if it is not recorded.
    async fn record(&self, command: Command) -> Result<(), (Command, String)> {
        match self.propose(command.clone()).await {
            Ok(()) => {
                log(&command);
                Ok(())
            }
            Err(cause) => Err((command, cause)),
        }
    }

    /// Proposes a command in this node's term: another leader counts the votes itself.
    async fn propose(&self, command: Command) -> Result<(), String> {
        let submitted = self.sequencer.submit(command, Origin::System);
        let reply = timeout(PROPOSAL_TIMEOUT, submitted).await;
        match reply.map(Attempt::from) {
            Ok(Attempt::Done(Ok(receipt))) => match receipt.verdict {
                Verdict::Accepted => Ok(()),
                Verdict::Rejected(rejections) => Err(format!("rejected: {rejections:?}")),
            },
            Ok(Attempt::Done(Err(error))) => Err(error.to_string()),
            Ok(Attempt::NotSubmitted) => Err("this node does not lead anymore".to_owned()),
            Ok(Attempt::Unknown(cause)) => Err(cause),
            Err(_) => Err(format!("no outcome within {PROPOSAL_TIMEOUT:?}")),
        }
    }
}

fn log(command: &Command) {
    if let Command::LoseGateways(loss) = command {
        let from: Vec<_> = loss.unreachable_from.iter().map(ToString::to_string).collect();
        tracing::warn!(
            agent = %loss.agent, gateways = %loss.gateways, unreachable_from = from.join(", "),
            relapses = loss.relapses, "gateways lost"
        );
    }
    if let Command::FindGateways { agent, gateways } = command {
        tracing::info!(%agent, %gateways, "gateways found");
    }
}
