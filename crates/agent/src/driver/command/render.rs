//! What is in a configuration file.

use meridian_domain::Configuration;
use meridian_domain::configuration::ConfiguredApi;

use super::checked::Content;
use super::nginx::{self, UnservedError};
use super::pattern::{Pattern, Values};
use crate::driver::UnitLimits;

/// Why a configuration cannot be written down for a program.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// nginx cannot have it.
    #[error(transparent)]
    Nginx(#[from] UnservedError),
    /// It has no form in JSON.
    #[error("it cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

/// The values of placeholders that depend on what a unit is to serve.
pub(super) fn values(of_unit: &Values, configuration: &Configuration) -> Values {
    let mut values = of_unit.clone();
    values.insert("revision", configuration.revision.to_string());
    values.insert("enabled", configuration.enabled.to_string());
    values
}

/// The whole file.
pub(super) fn render(
    content: &Content,
    of_unit: &Values,
    configuration: &Configuration,
    limits: &UnitLimits,
) -> Result<String, RenderError> {
    match content {
        Content::Nginx => Ok(nginx::render(of_unit, configuration, limits)?),
        Content::Json => Ok(serde_json::to_string(configuration)? + "\n"),
        Content::Text { text, api } => {
            let mut values = values(of_unit, configuration);
            let served = if configuration.enabled { &configuration.apis[..] } else { &[] };
            let apis = served.iter().map(|served| of_api(api, &values, served)).collect();
            values.insert("apis", apis);
            Ok(text.fill(&values))
        }
    }
}

fn of_api(pattern: &Pattern, values: &Values, api: &ConfiguredApi) -> String {
    let mut values = values.clone();
    values.insert("api_name", api.name.to_string());
    values.insert("api_path", api.path.to_string());
    values.insert("api_backend", api.backend.to_string());
    values.insert("api_connect_timeout_ms", api.timeouts.connect_ms.to_string());
    values.insert("api_response_timeout_ms", api.timeouts.response_ms.to_string());
    values.insert("api_idle_timeout_ms", api.timeouts.idle_ms.to_string());
    pattern.fill(&values)
}
