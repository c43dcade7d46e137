//! Which responses show that a gateway is reached.
//!
//! | response at the status path | counts |
//! | --- | --- |
//! | a status document of the service and region | yes |
//! | a status document of another service or region | no: another gateway has the address |
//! | any other response below 500 | yes, unless the gateway has named itself before |
//! | any other response from 500 | no: a proxy in front of the gateway may have sent it |
//!
//! Built-in units, also in containers, and nginx serve a status document. Another program, run by the
//! `command` driver, need not know the status path, and the log does not say which driver an agent
//! uses. So any complete response of such a program counts. A gateway that has sent a status document
//! must send one from then on.

use hyper::StatusCode;
use serde::Deserialize;

use super::probe::{Failure, Probe};

/// Fields of a status document that a probe compares.
#[derive(Deserialize)]
struct StatusDocument<'a> {
    service: &'a str,
    region: &'a str,
}

/// A gateway that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reached {
    /// True if it named its service and region.
    pub names_itself: bool,
}

/// Returns whether the response to a probe shows that the gateway is reached.
///
/// # Errors
/// The reason why it does not.
pub(super) fn verify(probe: &Probe, status: StatusCode, body: &[u8]) -> Result<Reached, Failure> {
    match serde_json::from_slice::<StatusDocument<'_>>(body) {
        Ok(StatusDocument { service, region })
            if service == probe.gateway.service.as_str() && region == probe.region.as_str() =>
        {
            Ok(Reached { names_itself: true })
        }
        Ok(_) => Err(Failure::OtherGateway),
        Err(_) if probe.must_name_itself || status.is_server_error() => {
            Err(Failure::NoStatusDocument)
        }
        Err(_) => Ok(Reached { names_itself: false }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use meridian_domain::{RegionName, ServiceName};

    use super::*;
    use crate::probing::probe::Gateway;

    #[test]
    fn a_response_counts_if_it_names_the_gateway_or_may_be_from_a_program_that_cannot() {
        let known = Ok(Reached { names_itself: true });
        let unknown = Ok(Reached { names_itself: false });
        let (other, none) = (Err(Failure::OtherGateway), Err(Failure::NoStatusDocument));
        let cases = [
            (200, r#"{"service":"contoso","region":"eastus","ready":true}"#, known, known),
            (200, r#"{"service":"contoso","region":"eastus","pid":7}"#, known, known),
            (503, r#"{"service":"contoso","region":"eastus","ready":false}"#, known, known),
            (200, r#"{"service":"fabrikam","region":"eastus"}"#, other, other),
            (200, r#"{"service":"contoso","region":"westeurope"}"#, other, other),
            (200, r#"{"service":"contoso"}"#, unknown, none),
            (200, "welcome", unknown, none),
            (404, "", unknown, none),
            (302, "", unknown, none),
            (500, "", none, none),
            (502, "bad gateway", none, none),
        ];
        for (status, body, first, later) in cases {
            for (must_name_itself, expected) in [(false, first), (true, later)] {
                let service = ServiceName::new("contoso").expect("is a name");
                let probe = Probe {
                    host: "eu.example.net".to_owned(),
                    gateway: Gateway { service, port: 8080 },
                    region: RegionName::new("eastus").expect("is a name"),
                    must_name_itself,
                    timeout: Duration::from_secs(1),
                };
                let status = StatusCode::from_u16(status).expect("is a status");
                let verified = verify(&probe, status, body.as_bytes());
                assert_eq!(verified, expected, "{status} {body} {must_name_itself}");
            }
        }
    }
}
