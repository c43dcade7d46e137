//! Validated templates: all errors in a template are found when it is loaded.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use meridian_domain::{RegionName, ServiceName, UnitId};
use serde::Deserialize;

use super::pattern::{
    API_PLACEHOLDERS, APIS_PLACEHOLDER, CONFIGURATION_PLACEHOLDERS, Pattern, UNIT_PLACEHOLDERS,
    UnknownPlaceholder,
};
use super::template::{
    CommandTemplate, ConfigFileTemplate, ListenerSource, Probe, ProbeAddress, Reload, SignalName,
};

/// Validated templates, in the order in which they are matched.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "TemplateFile")]
pub struct CommandTemplates(Vec<Template>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TemplateFile {
    #[serde(default)]
    template: Vec<CommandTemplate>,
}

/// Error in a file of templates.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// No template is defined.
    #[error("no [[template]] is defined")]
    Empty,
    /// The path of a program is not absolute. No search path is used.
    #[error("template {number}: {place} is {path:?}, which is not an absolute path")]
    RelativePath {
        /// Number of the template, from 1.
        number: usize,
        /// Field of the template.
        place: &'static str,
        /// Path as written.
        path: PathBuf,
    },
    /// A placeholder is unknown.
    #[error("template {number}, {place}: {source}")]
    Placeholder {
        /// Number of the template, from 1.
        number: usize,
        /// Field of the template.
        place: &'static str,
        /// The placeholder.
        source: UnknownPlaceholder,
    },
    /// A body is expected, but the probe sends no HTTP request.
    #[error("template {number}: ready.body_contains requires ready.http")]
    BodyWithoutRequest {
        /// Number of the template, from 1.
        number: usize,
    },
    /// The path of the probe does not begin with a slash, or has spaces or control characters.
    #[error("template {number}: ready.http is {path:?}, which is not a path")]
    InvalidProbePath {
        /// Number of the template, from 1.
        number: usize,
        /// Path as written.
        path: String,
    },
}

impl CommandTemplates {
    /// Validates `templates`.
    ///
    /// # Errors
    /// The first error in the first invalid template.
    pub fn new(templates: Vec<CommandTemplate>) -> Result<Self, TemplateError> {
        if templates.is_empty() {
            return Err(TemplateError::Empty);
        }
        let checked = templates.into_iter().enumerate();
        checked
            .map(|(index, template)| Template::new(index + 1, template))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Returns the longest drain timeout of a program.
    #[must_use]
    pub fn drain_timeout(&self) -> Duration {
        // A running program may match no template anymore.
        let adopted = Template::fallback().drain_timeout;
        self.0.iter().map(|template| template.drain_timeout).fold(adopted, Duration::max)
    }

    /// Returns the first template that matches the unit.
    pub(super) fn of(&self, unit: &UnitId) -> Option<&Template> {
        self.0.iter().find(|template| {
            template.service.as_ref().is_none_or(|service| *service == unit.service)
                && template.region.as_ref().is_none_or(|region| *region == unit.region)
        })
    }
}

impl TryFrom<TemplateFile> for CommandTemplates {
    type Error = TemplateError;

    fn try_from(file: TemplateFile) -> Result<Self, TemplateError> {
        Self::new(file.template)
    }
}

/// A validated template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    service: Option<ServiceName>,
    region: Option<RegionName>,
    pub(super) start: Invocation,
    pub(super) environment: BTreeMap<String, Pattern>,
    pub(super) listener: ListenerSource,
    pub(super) configuration: Option<Content>,
    pub(super) check: Option<Invocation>,
    pub(super) reload: Option<CheckedReload>,
    pub(super) probe_path: Option<String>,
    pub(super) probe_at: ProbeAddress,
    pub(super) body_contains: Option<Pattern>,
    pub(super) stop_signal: SignalName,
    pub(super) drain_timeout: Duration,
}

/// A program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Invocation {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<Pattern>,
}

/// Content of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    Nginx,
    Json,
    Text { text: Pattern, api: Pattern },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CheckedReload {
    Signal(SignalName),
    Command(Invocation),
}

/// Validates the fields of the template with this number.
struct Checker(usize);

impl Checker {
    fn pattern(
        &self,
        place: &'static str,
        text: &str,
        groups: &[&[&'static str]],
    ) -> Result<Pattern, TemplateError> {
        let placeholder = |source| TemplateError::Placeholder { number: self.0, place, source };
        Pattern::new(text, groups).map_err(placeholder)
    }

    fn invocation(
        &self,
        place: &'static str,
        program: PathBuf,
        arguments: &[String],
    ) -> Result<Invocation, TemplateError> {
        if !program.is_absolute() {
            return Err(TemplateError::RelativePath { number: self.0, place, path: program });
        }
        let arguments =
            arguments.iter().map(|text| self.pattern(place, text, &[&UNIT_PLACEHOLDERS]));
        Ok(Invocation { program, arguments: arguments.collect::<Result<_, _>>()? })
    }

    fn command_line(
        &self,
        place: &'static str,
        words: &[String],
    ) -> Result<Invocation, TemplateError> {
        let (program, arguments) = words.split_first().map_or(("", words), |(p, a)| (p, a));
        self.invocation(place, program.into(), arguments)
    }

    fn content(&self, template: &ConfigFileTemplate) -> Result<Content, TemplateError> {
        let place = "configuration";
        Ok(match template {
            ConfigFileTemplate::Nginx => Content::Nginx,
            ConfigFileTemplate::Json => Content::Json,
            ConfigFileTemplate::Text { text, api } => Content::Text {
                text: self.pattern(
                    place,
                    text,
                    &[&UNIT_PLACEHOLDERS, &CONFIGURATION_PLACEHOLDERS, &APIS_PLACEHOLDER],
                )?,
                api: self.pattern(
                    place,
                    api,
                    &[&UNIT_PLACEHOLDERS, &CONFIGURATION_PLACEHOLDERS, &API_PLACEHOLDERS],
                )?,
            },
        })
    }
}

impl Template {
    /// Returns a stand-in for the missing template of an adopted unit: enough to see that it runs
    /// and to stop it.
    pub(super) fn fallback() -> Self {
        Self {
            service: None,
            region: None,
            start: Invocation { program: PathBuf::new(), arguments: Vec::new() },
            environment: BTreeMap::new(),
            listener: ListenerSource::Own,
            configuration: None,
            check: None,
            reload: None,
            probe_path: None,
            probe_at: ProbeAddress::Address,
            body_contains: None,
            stop_signal: SignalName::Term,
            drain_timeout: Duration::from_secs(15),
        }
    }

    fn new(number: usize, template: CommandTemplate) -> Result<Self, TemplateError> {
        let check = Checker(number);
        let Probe { http, at, body_contains } = template.ready;
        if http.is_none() && body_contains.is_some() {
            return Err(TemplateError::BodyWithoutRequest { number });
        }
        let is_path = |path: &&String| {
            path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if let Some(path) = http.as_ref().filter(|path| !is_path(path)) {
            return Err(TemplateError::InvalidProbePath { number, path: path.clone() });
        }
        let environment = template.environment.into_iter().map(|(name, value)| {
            Ok((name, check.pattern("environment", &value, &[&UNIT_PLACEHOLDERS])?))
        });
        let reload = match &template.reload {
            None => None,
            Some(Reload::Signal(signal)) => Some(CheckedReload::Signal(*signal)),
            Some(Reload::Command(words)) => {
                Some(CheckedReload::Command(check.command_line("reload", words)?))
            }
        };
        let groups: &[&[&str]] = &[&UNIT_PLACEHOLDERS, &CONFIGURATION_PLACEHOLDERS];
        let body_contains =
            body_contains.map(|text| check.pattern("ready.body_contains", &text, groups));
        Ok(Self {
            service: template.service,
            region: template.region,
            start: check.invocation("program", template.program, &template.arguments)?,
            environment: environment.collect::<Result<_, _>>()?,
            listener: template.listener,
            configuration: template.configuration.map(|file| check.content(&file)).transpose()?,
            check: template.check.map(|words| check.command_line("check", &words)).transpose()?,
            reload,
            probe_path: http,
            probe_at: at,
            body_contains: body_contains.transpose()?,
            stop_signal: template.stop_signal,
            drain_timeout: Duration::from_millis(template.drain_timeout_ms),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<CommandTemplates, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn the_first_template_that_matches_a_unit_is_used() {
        let templates = read(
            "[[template]]\nservice = 'contoso'\nregion = 'eastus'\nprogram = '/a'\n\
             [[template]]\nservice = 'contoso'\nprogram = '/b'\n",
        )
        .unwrap();
        let program = |service: &str, region: &str| {
            let unit = UnitId {
                service: ServiceName::new(service).unwrap(),
                region: RegionName::new(region).unwrap(),
                slot: 1,
            };
            templates.of(&unit).map(|template| template.start.program.clone())
        };
        assert_eq!(program("contoso", "eastus"), Some("/a".into()));
        assert_eq!(program("contoso", "westeurope"), Some("/b".into()));
        assert_eq!(program("fabrikam", "eastus"), None);
    }

    #[test]
    fn errors_in_a_template_are_reported_when_it_is_loaded() {
        let with = |line: &str| read(&format!("[[template]]\nprogram = '/a'\n{line}")).unwrap_err();
        assert_eq!(read("").unwrap_err(), "no [[template]] is defined");
        assert_eq!(
            read("[[template]]\nprogram = 'nginx'").unwrap_err(),
            "template 1: program is \"nginx\", which is not an absolute path"
        );
        assert!(with("arguments = ['--port', '{prot}']").starts_with(
            "template 1, program: unknown placeholder {prot}; known placeholders: {cluster},"
        ));
        assert!(
            with("environment = { A = '{revision}' }")
                .contains("environment: unknown placeholder {revision}")
        );
        assert!(with("reload = { command = [] }").contains("reload is \"\""));
        assert!(with("reload = { signal = 'KILL' }").contains("unknown variant `KILL`"));
        assert!(
            with("ready = { body_contains = 'a' }")
                .contains("ready.body_contains requires ready.http")
        );
        assert!(with("ready = { http = '/a b' }").contains("is not a path"));
        assert!(with("color = 'red'").contains("unknown field `color`"));
        assert!(
            with("configuration = { text = { text = '{apis}', api = '{api}' } }")
                .contains("configuration: unknown placeholder {api}")
        );
    }
}
