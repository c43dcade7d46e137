//! Heartbeats of the leader.
//!
//! openraft's own interval is also the timeout of a heartbeat, and the heartbeats to a member wait
//! for each other. On a link whose round trip is longer than the interval, all of them would time
//! out. The interval of openraft is therefore set to the timeout, and this task sends the
//! heartbeats.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::instance::Raft;
use crate::suspension::Suspension;

/// Sends heartbeats at an interval while this node leads and is not suspended. Runs until aborted.
pub(crate) async fn run(raft: Raft, suspension: Suspension, every: Duration) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let leads = raft.is_leader() && !suspension.is_active();
        // An error means only that Raft has stopped, and this task with it.
        if leads && raft.trigger().heartbeat().await.is_err() {
            return;
        }
    }
}
