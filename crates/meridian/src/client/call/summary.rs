//! Calls as they are printed, and their summary.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::client::failure::Failure;
use crate::client::output::{self, Output};
use crate::client::view::{clock, rfc3339};

use super::request::Response;

/// A call.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CallView {
    /// Time at which it started.
    time: String,
    /// Duration in milliseconds, lookup included.
    ms: f64,
    /// Status of the response; null if it failed.
    status: Option<u16>,
    /// The unit that responded, such as `contoso/eastus/1`; null if it failed or does not say.
    unit: Option<String>,
    /// Address of the gateway; null if it failed.
    address: Option<String>,
    /// Cause of the failure; null if it succeeded.
    error: Option<String>,
    #[serde(skip)]
    started: SystemTime,
    #[serde(skip)]
    elapsed: Duration,
}

/// Totals of the calls.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Number of calls.
    pub requests: u64,
    /// Number of those that failed.
    pub failed: u64,
    /// Longest time from a response to the next one, in milliseconds; from the start of the first call to
    /// the first response, and to the end of the last call if it failed.
    pub longest_gap_ms: u64,
    /// End of the last successful call, or the start of the first one.
    #[serde(skip)]
    last_response: Option<SystemTime>,
}

impl CallView {
    /// A call that started at `started` and took `elapsed`.
    pub fn new(started: SystemTime, elapsed: Duration, result: Result<Response, String>) -> Self {
        let call = Self {
            time: rfc3339(started),
            ms: (elapsed.as_secs_f64() * 1e4).round() / 10.0,
            status: None,
            unit: None,
            address: None,
            error: None,
            started,
            elapsed,
        };
        match result {
            Ok(Response { address, status, unit }) => Self {
                status: Some(status.as_u16()),
                unit,
                address: Some(address.to_string()),
                ..call
            },
            Err(error) => Self { error: Some(error), ..call },
        }
    }

    /// Line for people: `11:06:40  200  contoso/eastus/1  127.0.1.2:8080  1.2 ms`.
    pub fn line(&self) -> String {
        let time = clock(self.started);
        if let Some(error) = &self.error {
            return format!("{time}  failed  {error}\n");
        }
        let unit = self.unit.as_deref().unwrap_or("unit unknown");
        let [status, address] = [self.status.map(|it| it.to_string()), self.address.clone()]
            .map(Option::unwrap_or_default);
        format!("{time}  {status}  {unit}  {address}  {:.1} ms\n", self.ms)
    }
}

impl Summary {
    /// Counts a call.
    pub fn add(&mut self, call: &CallView) {
        self.requests += 1;
        let is_failed = call.error.is_some();
        self.failed += u64::from(is_failed);
        let end = call.started + call.elapsed;
        let since = *self.last_response.get_or_insert(call.started);
        let gap = end.duration_since(since).unwrap_or_default().as_millis();
        self.longest_gap_ms = self.longest_gap_ms.max(gap.try_into().unwrap_or(u64::MAX));
        if !is_failed {
            self.last_response = Some(end);
        }
    }

    /// Prints the summary.
    ///
    /// # Errors
    /// Same as [`output::write`].
    pub fn print(&self, output: Output) -> Result<(), Failure> {
        if output.is_json() {
            return output::write(&output::json_line(self)?);
        }
        let Self { requests, failed, longest_gap_ms, .. } = self;
        output::write(&format!(
            "{requests} requests, {failed} failed, longest gap {longest_gap_ms} ms\n"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gap_is_between_the_ends_of_two_responses() {
        let mut summary = Summary::default();
        let at = |ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
        let mut call = |ms, elapsed, succeeds| {
            let address = "127.0.1.1:8080".parse().expect("is an address");
            let response = Response { address, status: hyper::StatusCode::OK, unit: None };
            let result = if succeeds { Ok(response) } else { Err("refused".to_owned()) };
            summary.add(&CallView::new(at(ms), Duration::from_millis(elapsed), result));
            (summary.requests, summary.failed, summary.longest_gap_ms)
        };
        assert_eq!(call(0, 10, true), (1, 0, 10));
        assert_eq!(call(200, 10, true), (2, 0, 200));
        assert_eq!(call(400, 1, false), (3, 1, 200));
        assert_eq!(call(600, 1_000, true), (4, 1, 1_390));
        assert_eq!(call(1_800, 10, true), (5, 1, 1_390));
        assert_eq!(call(2_000, 2_000, false), (6, 2, 2_190));
    }
}
