//! Conversion of APIs, both ways.

use std::collections::BTreeMap;

use meridian_domain::api::Timeouts;
use meridian_domain::{Api, ApiPath, BackendUrl, RegionName, limits};

use super::{Checks, field};
use crate::v1;

/// Converts an API, or records its violations.
pub fn api(checks: &mut Checks, path: &str, given: &v1::Api) -> Option<Api> {
    let at = |name: &str| format!("{path}.{name}");
    let name = field::api(checks, &at("name"), &given.name);
    let prefix = checks.take(at("path"), ApiPath::new(&given.path));
    let backend = checks.take(at("backend"), BackendUrl::new(&given.backend));
    let regional = regional(checks, &at("regional_backends"), &given.regional_backends);
    let defaults = Timeouts::default();
    let mut timeout = |name: &str, given: Option<u32>, default: u32| match given {
        None => Some(default),
        Some(given) => checks.take(at(name), in_range(given)),
    };
    let connect_ms = timeout("connect_timeout_ms", given.connect_timeout_ms, defaults.connect_ms);
    let response_ms =
        timeout("response_timeout_ms", given.response_timeout_ms, defaults.response_ms);
    let idle_ms = timeout("idle_timeout_ms", given.idle_timeout_ms, defaults.idle_ms);
    let (connect_ms, response_ms, idle_ms) = (connect_ms?, response_ms?, idle_ms?);
    Some(Api {
        name: name?,
        path: prefix?,
        backend: backend?,
        regional: regional?,
        timeouts: Timeouts { connect_ms, response_ms, idle_ms },
    })
}

fn in_range(given: u32) -> Result<u32, String> {
    let max = limits::MAX_TIMEOUT_MS;
    match given {
        0 => Err(format!("must be a timeout from 1 to {max} ms; leave it out for the default")),
        _ if given > max => Err(format!("must be a timeout of at most {max} ms, not {given}")),
        _ => Ok(given),
    }
}

fn regional(
    checks: &mut Checks,
    path: &str,
    given: &[v1::RegionalBackend],
) -> Option<BTreeMap<RegionName, BackendUrl>> {
    if given.len() > limits::REGIONAL_BACKENDS {
        let max = limits::REGIONAL_BACKENDS;
        checks.refuse(path, format_args!("must have at most {max} regional backends"));
        return None;
    }
    let mut regional = BTreeMap::new();
    let mut all_valid = true;
    for (index, given) in given.iter().enumerate() {
        let region = field::region(checks, &format!("{path}[{index}].region"), &given.region);
        let backend = BackendUrl::new(&given.backend);
        let backend = checks.take(format!("{path}[{index}].backend"), backend);
        all_valid &= region.is_some() && backend.is_some();
        let earlier = region.zip(backend).and_then(|(region, url)| regional.insert(region, url));
        if earlier.is_some() {
            checks.refuse(path, format_args!("{} is a duplicate", given.region));
            all_valid = false;
        }
    }
    all_valid.then_some(regional)
}

impl From<&Api> for v1::Api {
    fn from(api: &Api) -> Self {
        let regional = |(region, backend): (&RegionName, &BackendUrl)| v1::RegionalBackend {
            region: region.to_string(),
            backend: backend.to_string(),
        };
        Self {
            name: api.name.to_string(),
            path: api.path.to_string(),
            backend: api.backend.to_string(),
            regional_backends: api.regional.iter().map(regional).collect(),
            connect_timeout_ms: Some(api.timeouts.connect_ms),
            response_timeout_ms: Some(api.timeouts.response_ms),
            idle_timeout_ms: Some(api.timeouts.idle_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders() -> v1::Api {
        v1::Api {
            name: "orders".to_owned(),
            path: "/orders".to_owned(),
            backend: "https://orders.internal".to_owned(),
            regional_backends: vec![v1::RegionalBackend {
                region: "East US".to_owned(),
                backend: "http://[::1]:99".to_owned(),
            }],
            response_timeout_ms: Some(200),
            ..v1::Api::default()
        }
    }

    #[test]
    fn an_api_round_trips() {
        let mut checks = Checks::default();
        let converted = api(&mut checks, "api", &orders()).expect("is well-formed");
        let back = v1::Api::from(&converted);
        assert_eq!(back.regional_backends[0].region, "eastus");
        assert_eq!((back.connect_timeout_ms, back.response_timeout_ms), (Some(5_000), Some(200)));
        assert_eq!(api(&mut checks, "api", &back), Some(converted));
    }

    #[test]
    fn every_invalid_field_is_named() {
        let mut checks = Checks::default();
        let bad = v1::Api {
            path: "orders".to_owned(),
            backend: "https://user:secret@orders".to_owned(),
            idle_timeout_ms: Some(0),
            ..orders()
        };
        let converted = api(&mut checks, "edits[0].publish_api", &bad);
        let violations = checks.finish(converted).expect_err("is invalid").to_string();
        for field in ["path", "backend", "idle_timeout_ms"] {
            assert!(violations.contains(&format!("edits[0].publish_api.{field}")), "{violations}");
        }
        assert!(!violations.contains("secret"), "{violations}");
    }
}
