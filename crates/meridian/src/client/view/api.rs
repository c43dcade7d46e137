//! APIs.

use std::collections::BTreeMap;

use meridian_proto::v1;
use serde::Serialize;

use crate::client::output::{Row, cells_of};

/// An API of a service.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiView {
    /// Its name.
    pub name: String,
    /// Path prefix of its requests.
    pub path: String,
    /// URL of its backend.
    pub backend: String,
    /// URLs that override the backend, by region.
    pub regional_backends: BTreeMap<String, String>,
    /// Timeout for a connection to the backend, in milliseconds.
    pub connect_timeout_ms: u32,
    /// Timeout for the response head, in milliseconds.
    pub response_timeout_ms: u32,
    /// Timeout between parts of a body, in milliseconds.
    pub idle_timeout_ms: u32,
}

impl From<v1::Api> for ApiView {
    fn from(api: v1::Api) -> Self {
        let regional = api.regional_backends.into_iter().map(|own| (own.region, own.backend));
        Self {
            name: api.name,
            path: api.path,
            backend: api.backend,
            regional_backends: regional.collect(),
            // Agents always send all of them.
            connect_timeout_ms: api.connect_timeout_ms.unwrap_or_default(),
            response_timeout_ms: api.response_timeout_ms.unwrap_or_default(),
            idle_timeout_ms: api.idle_timeout_ms.unwrap_or_default(),
        }
    }
}

impl Row for ApiView {
    const HEADS: &'static [&'static str] = &["NAME", "PATH", "REGIONAL", "BACKEND"];
    const WIDE_HEADS: &'static [&'static str] =
        &["NAME", "PATH", "BACKEND", "REGIONAL BACKENDS", "CONNECT", "RESPONSE", "IDLE"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.path.clone(),
            self.regional_backends.len().to_string(),
            self.backend.clone(),
        ]
    }

    fn wide_cells(&self) -> Vec<String> {
        let regional = self.regional_backends.iter();
        let regional: Vec<String> =
            regional.map(|(region, url)| format!("{region}={url}")).collect();
        let timeouts = [self.connect_timeout_ms, self.response_timeout_ms, self.idle_timeout_ms];
        let mut cells =
            vec![self.name.clone(), self.path.clone(), self.backend.clone(), cells_of(&regional)];
        cells.extend(timeouts.map(|millis| format!("{millis} ms")));
        cells
    }
}
