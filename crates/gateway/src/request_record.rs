//! Record of a request: what is counted and logged when it ends.

use std::sync::Arc;
use std::time::Instant;

use crate::access_log::{Entry, Outcome};
use crate::client_connection::ClientConnection;
use crate::configuration::Api;
use crate::load::InFlight;

/// Status that is counted for a request whose client disconnected before the response, as in nginx.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// Record of a request until the end of its response. Dropping it counts and logs the request.
#[derive(Debug)]
pub(crate) struct RequestRecord {
    client: Arc<ClientConnection>,
    started: Instant,
    pub(crate) api: Option<Arc<Api>>,
    pub(crate) in_flight: Option<InFlight>,
    pub(crate) entry: Option<Box<Entry>>,
    status: u16,
    /// Bytes sent of the response body.
    sent_bytes: u64,
}

impl RequestRecord {
    /// Starts the record of a request of `client`.
    pub(crate) fn start(client: &Arc<ClientConnection>) -> Self {
        client.begin_request();
        Self {
            client: Arc::clone(client),
            started: Instant::now(),
            api: None,
            in_flight: None,
            entry: None,
            status: CLIENT_CLOSED_REQUEST,
            sent_bytes: 0,
        }
    }

    pub(crate) fn set_status(&mut self, status: u16) {
        self.status = status;
    }

    /// Adds `bytes` to the sent part of the response body.
    pub(crate) fn add_sent(&mut self, bytes: usize) {
        self.sent_bytes += bytes as u64;
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        let duration = self.started.elapsed();
        let shared = &self.client.shared;
        let counters = match &self.api {
            Some(api) => &api.counters,
            None => shared.metrics().unrouted(),
        };
        counters.record(self.client.worker, self.status, duration);
        if let Some(entry) = self.entry.take() {
            let api = self.api.as_ref().map(|api| api.name.clone());
            let outcome = Outcome { api, status: self.status, bytes: self.sent_bytes, duration };
            shared.access_log().write(entry, outcome);
        }
        self.client.end_request();
    }
}
