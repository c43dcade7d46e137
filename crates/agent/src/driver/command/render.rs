//! Rendering of configuration files.

use meridian_domain::Configuration;
use meridian_domain::configuration::ConfiguredApi;

use super::checked::Content;
use super::nginx::{self, UnsupportedBackend};
use super::pattern::{Pattern, Values};
use crate::driver::UnitLimits;

/// A configuration that cannot be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// nginx cannot serve it.
    #[error(transparent)]
    Nginx(#[from] UnsupportedBackend),
    /// It cannot be represented in JSON.
    #[error("cannot render the configuration as JSON")]
    Json(#[from] serde_json::Error),
}

/// Adds the values of [`CONFIGURATION_PLACEHOLDERS`](super::pattern::CONFIGURATION_PLACEHOLDERS).
pub(super) fn values(unit_values: &Values, configuration: &Configuration) -> Values {
    let mut values = unit_values.clone();
    values.insert("revision", configuration.revision.to_string());
    values.insert("enabled", configuration.enabled.to_string());
    values
}

/// Renders the configuration file.
pub(super) fn render(
    content: &Content,
    unit_values: &Values,
    configuration: &Configuration,
    limits: &UnitLimits,
) -> Result<String, RenderError> {
    match content {
        Content::Nginx => Ok(nginx::render(unit_values, configuration, limits)?),
        Content::Json => Ok(serde_json::to_string(configuration)? + "\n"),
        Content::Text { text, api } => {
            let mut values = values(unit_values, configuration);
            let served = if configuration.enabled { &configuration.apis[..] } else { &[] };
            let apis = served.iter().map(|served| render_api(api, &values, served)).collect();
            values.insert("apis", apis);
            Ok(text.fill(&values))
        }
    }
}

fn render_api(pattern: &Pattern, values: &Values, api: &ConfiguredApi) -> String {
    let mut values = values.clone();
    values.insert("api_name", api.name.to_string());
    values.insert("api_path", api.path.to_string());
    values.insert("api_backend", api.backend.to_string());
    values.insert("api_connect_timeout_ms", api.timeouts.connect_ms.to_string());
    values.insert("api_response_timeout_ms", api.timeouts.response_ms.to_string());
    values.insert("api_idle_timeout_ms", api.timeouts.idle_ms.to_string());
    pattern.fill(&values)
}
