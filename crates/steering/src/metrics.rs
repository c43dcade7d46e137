//! Metrics of the server. All names are here.

use hickory_proto::op::ResponseCode;
use metrics::{Counter, Unit, counter, describe_counter};

/// Transport of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// The address of the client may be forged, and responses are limited.
    Udp,
    Tcp,
}

/// Responses, by `transport` and `code`.
const RESPONSES: &str = "meridian_dns_responses_total";
/// Queries above the rate limit of their network, by `response`.
const LIMITED: &str = "meridian_dns_rate_limited_total";
/// Received messages that are not queries.
const IGNORED: &str = "meridian_dns_ignored_total";
/// Responses that the operating system did not send.
const UNSENT: &str = "meridian_dns_unsent_total";
/// Answers built because none was kept.
const BUILT: &str = "meridian_dns_answers_built_total";
/// Connections closed to accept others.
const CROWDED_OUT: &str = "meridian_dns_connections_crowded_out_total";

/// Codes of responses, and their label.
const CODES: [(ResponseCode, &str); 7] = [
    (ResponseCode::NoError, "noerror"),
    (ResponseCode::FormErr, "formerr"),
    (ResponseCode::ServFail, "servfail"),
    (ResponseCode::NXDomain, "nxdomain"),
    (ResponseCode::NotImp, "notimp"),
    (ResponseCode::Refused, "refused"),
    (ResponseCode::BADVERS, "badvers"),
];

/// Registers the descriptions of this crate's metrics with the installed recorder. Call once.
pub fn describe_metrics() {
    describe_counter!(RESPONSES, Unit::Count, "DNS responses, by transport and response code.");
    describe_counter!(
        LIMITED,
        Unit::Count,
        "DNS queries above the rate limit of their network: response truncated or dropped."
    );
    describe_counter!(IGNORED, Unit::Count, "Messages to the DNS server that are not queries.");
    describe_counter!(UNSENT, Unit::Count, "DNS responses that the system did not send.");
    describe_counter!(BUILT, Unit::Count, "DNS answers built because none was kept.");
    describe_counter!(
        CROWDED_OUT,
        Unit::Count,
        "DNS connections closed, the oldest first, because there were too many."
    );
}

/// Counters, looked up once.
pub(crate) struct Metrics {
    udp: [Counter; CODES.len()],
    tcp: [Counter; CODES.len()],
    pub(crate) limited_truncated: Counter,
    pub(crate) limited_dropped: Counter,
    pub(crate) ignored: Counter,
    pub(crate) unsent: Counter,
    pub(crate) built: Counter,
    pub(crate) crowded_out: Counter,
}

impl Metrics {
    /// Creates the counters of the installed recorder.
    pub(crate) fn new() -> Self {
        let responses = |transport: &'static str| {
            CODES.map(|(_, code)| counter!(RESPONSES, "transport" => transport, "code" => code))
        };
        let metrics = Self {
            udp: responses("udp"),
            tcp: responses("tcp"),
            limited_truncated: counter!(LIMITED, "response" => "truncated"),
            limited_dropped: counter!(LIMITED, "response" => "dropped"),
            ignored: counter!(IGNORED),
            unsent: counter!(UNSENT),
            built: counter!(BUILT),
            crowded_out: counter!(CROWDED_OUT),
        };
        // A counter that first appears with the value 1 has no rate.
        for counter in [&metrics.limited_truncated, &metrics.limited_dropped, &metrics.ignored] {
            counter.increment(0);
        }
        metrics
    }

    /// Counts a response.
    pub(crate) fn count(&self, transport: Transport, code: ResponseCode) {
        let counters = match transport {
            Transport::Udp => &self.udp,
            Transport::Tcp => &self.tcp,
        };
        if let Some(index) = CODES.iter().position(|(known, _)| *known == code) {
            counters[index].increment(1);
        }
    }
}
