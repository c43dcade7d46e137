//! The `Via` header (RFC 9110, 7.6.3), which lists the intermediaries of a message. The entry of a
//! unit is `1.1 contoso.westeurope.2`.

use hyper::Version;
use hyper::header::{HeaderMap, HeaderValue, VIA};
use meridian_domain::UnitId;

/// The `Via` entries of a unit.
#[derive(Debug)]
pub(crate) struct ViaHeader {
    /// Indexed by the version in which a message arrived: HTTP/1.0, HTTP/1.1, HTTP/2.
    entries: [HeaderValue; 3],
    /// Prefix of the names of this gateway's units: `contoso.westeurope.`
    gateway_prefix: String,
}

impl ViaHeader {
    pub(crate) fn new(unit: &UnitId) -> Self {
        let gateway_prefix = format!("{}.{}.", unit.service, unit.region);
        let entry = |version| {
            let text = format!("{version} {gateway_prefix}{}", unit.slot);
            HeaderValue::from_str(&text).expect("names consist of visible characters")
        };
        Self { entries: ["1.0", "1.1", "2"].map(entry), gateway_prefix }
    }

    /// Returns the entry for a message that arrived in `version`.
    pub(crate) fn entry(&self, version: Version) -> HeaderValue {
        let [http10, http11, http2] = &self.entries;
        match version {
            Version::HTTP_2 => http2.clone(),
            Version::HTTP_10 => http10.clone(),
            _ => http11.clone(),
        }
    }

    /// Returns true if the request passed through a unit of this gateway before, which means that
    /// its backend leads back here.
    pub(crate) fn is_loop(&self, headers: &HeaderMap) -> bool {
        let mut fields = headers.get_all(VIA).iter().filter_map(|field| field.to_str().ok());
        fields.any(|field| {
            let received_by = |entry: &str| entry.split_whitespace().nth(1).map(str::to_owned);
            let mut names = field.split(',').filter_map(received_by);
            names.any(|name| name.starts_with(&self.gateway_prefix))
        })
    }
}

#[cfg(test)]
mod tests {
    use meridian_domain::{RegionName, ServiceName};

    use super::*;

    #[test]
    fn only_entries_of_this_gateway_are_a_loop() {
        let via = ViaHeader::new(&UnitId {
            service: ServiceName::new("contoso").expect("the name is valid"),
            region: RegionName::new("westeurope").expect("the name is valid"),
            slot: 2,
        });
        assert_eq!(via.entry(Version::HTTP_2), "2 contoso.westeurope.2");
        for (field, is_loop) in [
            ("1.1 contoso.westeurope.1", true),
            ("1.0 edge, 1.1 contoso.westeurope.12", true),
            ("1.1 contoso.eastus.2", false),
            ("1.1 contoso.westeurope2.2", false),
            ("contoso.westeurope.2", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(VIA, HeaderValue::from_static("1.1 first"));
            headers.append(VIA, field.parse().expect("the value is valid"));
            assert_eq!(via.is_loop(&headers), is_loop, "{field}");
        }
    }
}
