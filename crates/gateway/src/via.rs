//! Who passed a call on: the field `Via` (RFC 9110, 7.6.3), in which a unit is
//! `1.1 contoso.westeurope.2`.

use hyper::Version;
use hyper::header::{HeaderMap, HeaderValue, VIA};
use meridian_domain::UnitId;

/// What a unit adds.
#[derive(Debug)]
pub(crate) struct Via {
    /// By the protocol in which a message came: HTTP/1.0, HTTP/1.1, HTTP/2.
    elements: [HeaderValue; 3],
    /// How every unit of this gateway begins: `contoso.westeurope.`
    gateway: String,
}

impl Via {
    pub(crate) fn new(unit: &UnitId) -> Self {
        let gateway = format!("{}.{}.", unit.service, unit.region);
        let element = |version| {
            let text = format!("{version} {gateway}{}", unit.slot);
            HeaderValue::from_str(&text).expect("names are made of visible characters")
        };
        Self { elements: ["1.0", "1.1", "2"].map(element), gateway }
    }

    /// The element for a message that came by `version`.
    pub(crate) fn element(&self, version: Version) -> HeaderValue {
        let [http10, http11, http2] = &self.elements;
        match version {
            Version::HTTP_2 => http2.clone(),
            Version::HTTP_10 => http10.clone(),
            _ => http11.clone(),
        }
    }

    /// Whether a call came through a unit of this gateway before: its backend leads back here.
    pub(crate) fn returns(&self, headers: &HeaderMap) -> bool {
        let mut fields = headers.get_all(VIA).iter().filter_map(|field| field.to_str().ok());
        fields.any(|field| {
            let by = |element: &str| element.split_whitespace().nth(1).map(str::to_owned);
            let mut elements = field.split(',').filter_map(by);
            elements.any(|by| by.starts_with(&self.gateway))
        })
    }
}

#[cfg(test)]
mod tests {
    use meridian_domain::{RegionName, ServiceName};

    use super::*;

    #[test]
    fn a_call_that_comes_back_is_told_from_one_that_passed_others() {
        let via = Via::new(&UnitId {
            service: ServiceName::new("contoso").expect("is a name"),
            region: RegionName::new("westeurope").expect("is a name"),
            slot: 2,
        });
        assert_eq!(via.element(Version::HTTP_2), "2 contoso.westeurope.2");
        for (field, returns) in [
            ("1.1 contoso.westeurope.1", true),
            ("1.0 edge, 1.1 contoso.westeurope.12", true),
            ("1.1 contoso.eastus.2", false),
            ("1.1 contoso.westeurope2.2", false),
            ("contoso.westeurope.2", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(VIA, HeaderValue::from_static("1.1 first"));
            headers.append(VIA, field.parse().expect("is a value"));
            assert_eq!(via.returns(&headers), returns, "{field}");
        }
    }
}
