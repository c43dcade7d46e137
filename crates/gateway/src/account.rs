//! The account of a call: what is counted when it ends.

use std::sync::Arc;
use std::time::Instant;

use crate::access_log::{Entry, Outcome};
use crate::caller::Caller;
use crate::configuration::Api;
use crate::load::InFlight;

/// What is counted for calls that end without an answer, because their callers went away.
const CALLER_LEFT: u16 = 499;

/// A call, until the end of its answer. Dropping it ends the call.
#[derive(Debug)]
pub(crate) struct Account {
    caller: Arc<Caller>,
    begun: Instant,
    pub(crate) api: Option<Arc<Api>>,
    pub(crate) in_flight: Option<InFlight>,
    pub(crate) entry: Option<Box<Entry>>,
    status: u16,
    /// Bytes of the answer's body.
    sent: u64,
}

impl Account {
    /// Begins a call of `caller`.
    pub(crate) fn open(caller: &Arc<Caller>) -> Self {
        caller.enter();
        Self {
            caller: Arc::clone(caller),
            begun: Instant::now(),
            api: None,
            in_flight: None,
            entry: None,
            status: CALLER_LEFT,
            sent: 0,
        }
    }

    pub(crate) fn answered(&mut self, status: u16) {
        self.status = status;
    }

    /// Adds to what was sent of the answer's body.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let took = self.begun.elapsed();
        let shared = &self.caller.shared;
        let counters = match &self.api {
            Some(api) => &api.counters,
            None => shared.metrics().unrouted(),
        };
        counters.record(self.caller.worker, self.status, took);
        if let Some(entry) = self.entry.take() {
            let api = self.api.as_ref().map(|api| api.name.clone());
            let outcome = Outcome { api, status: self.status, bytes: self.sent, took };
            shared.access_log().write(entry, outcome);
        }
        self.caller.leave();
    }
}
