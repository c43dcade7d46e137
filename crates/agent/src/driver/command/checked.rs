//! Templates that were checked: what of them can be wrong was found when they were loaded.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use meridian_domain::{RegionName, ServiceName, UnitId};
use serde::Deserialize;

use super::pattern::{OF_ALL_APIS, OF_API, OF_CONFIGURATION, OF_UNIT, Pattern, UnknownPlaceholder};
use super::template::{
    CommandTemplate, ConfigFileTemplate, ListenerSource, Probe, ProbeAddress, Reload, SignalName,
};

/// Templates in the order in which they are tried, all checked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "TemplateFile")]
pub struct CommandTemplates(Vec<Template>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TemplateFile {
    #[serde(default)]
    template: Vec<CommandTemplate>,
}

/// Why templates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// There is none.
    #[error("there is no [[template]]")]
    None,
    /// A program is found only by an absolute path: nothing is searched for.
    #[error("template {number}: {place} is {path:?}, which is no absolute path")]
    Relative {
        /// Which template, from 1.
        number: usize,
        /// Which of its fields.
        place: &'static str,
        /// What was written.
        path: PathBuf,
    },
    /// A placeholder stands for nothing.
    #[error("template {number}, {place}: {source}")]
    Placeholder {
        /// Which template, from 1.
        number: usize,
        /// Which of its fields.
        place: &'static str,
        /// Which placeholder.
        source: UnknownPlaceholder,
    },
    /// A connection has no answer.
    #[error("template {number}: ready.answer needs ready.http")]
    AnswerToNothing {
        /// Which template, from 1.
        number: usize,
    },
    /// The path of a request is one line that begins with a slash.
    #[error("template {number}: ready.http is {path:?}, which is no path")]
    ProbePath {
        /// Which template, from 1.
        number: usize,
        /// What was written.
        path: String,
    },
}

impl CommandTemplates {
    /// Checks `templates`.
    ///
    /// # Errors
    /// The first thing that is wrong with one.
    pub fn new(templates: Vec<CommandTemplate>) -> Result<Self, TemplateError> {
        if templates.is_empty() {
            return Err(TemplateError::None);
        }
        let checked = templates.into_iter().enumerate();
        checked
            .map(|(index, template)| Template::new(index + 1, template))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The template for a unit.
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

/// A checked template.
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
    pub(super) answer: Option<Pattern>,
    pub(super) stop_signal: SignalName,
    pub(super) drain_limit: Duration,
}

/// A program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Invocation {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<Pattern>,
}

/// What is in a configuration file.
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

/// What is checked, and which template it is in.
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
            return Err(TemplateError::Relative { number: self.0, place, path: program });
        }
        let arguments = arguments.iter().map(|text| self.pattern(place, text, &[&OF_UNIT]));
        Ok(Invocation { program, arguments: arguments.collect::<Result<_, _>>()? })
    }

    fn line(&self, place: &'static str, words: &[String]) -> Result<Invocation, TemplateError> {
        let (program, arguments) = words.split_first().map_or(("", words), |(p, a)| (p, a));
        self.invocation(place, program.into(), arguments)
    }

    fn content(&self, template: &ConfigFileTemplate) -> Result<Content, TemplateError> {
        let place = "configuration";
        Ok(match template {
            ConfigFileTemplate::Nginx => Content::Nginx,
            ConfigFileTemplate::Json => Content::Json,
            ConfigFileTemplate::Text { text, api } => Content::Text {
                text: self.pattern(place, text, &[&OF_UNIT, &OF_CONFIGURATION, &OF_ALL_APIS])?,
                api: self.pattern(place, api, &[&OF_UNIT, &OF_CONFIGURATION, &OF_API])?,
            },
        })
    }
}

impl Template {
    /// What is known of a unit whose template is there no more: enough to see that it runs, and to
    /// stop it.
    pub(super) fn forgotten() -> Self {
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
            answer: None,
            stop_signal: SignalName::Term,
            drain_limit: Duration::from_secs(15),
        }
    }

    fn new(number: usize, template: CommandTemplate) -> Result<Self, TemplateError> {
        let check = Checker(number);
        let Probe { http, at, answer } = template.ready;
        if http.is_none() && answer.is_some() {
            return Err(TemplateError::AnswerToNothing { number });
        }
        let is_path = |path: &&String| {
            path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if let Some(path) = http.as_ref().filter(|path| !is_path(path)) {
            return Err(TemplateError::ProbePath { number, path: path.clone() });
        }
        let environment = template
            .environment
            .into_iter()
            .map(|(name, value)| Ok((name, check.pattern("environment", &value, &[&OF_UNIT])?)));
        let reload = match &template.reload {
            None => None,
            Some(Reload::Signal(signal)) => Some(CheckedReload::Signal(*signal)),
            Some(Reload::Command(words)) => {
                Some(CheckedReload::Command(check.line("reload", words)?))
            }
        };
        let answered: &[&[&str]] = &[&OF_UNIT, &OF_CONFIGURATION];
        let answer = answer.map(|text| check.pattern("ready.answer", &text, answered));
        Ok(Self {
            service: template.service,
            region: template.region,
            start: check.invocation("program", template.program, &template.arguments)?,
            environment: environment.collect::<Result<_, _>>()?,
            listener: template.listener,
            configuration: template.configuration.map(|file| check.content(&file)).transpose()?,
            check: template.check.map(|words| check.line("check", &words)).transpose()?,
            reload,
            probe_path: http,
            probe_at: at,
            answer: answer.transpose()?,
            stop_signal: template.stop_signal,
            drain_limit: Duration::from_millis(template.drain_limit_ms),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<CommandTemplates, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn the_first_template_that_fits_a_unit_counts() {
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
    fn what_is_wrong_with_a_template_is_said_when_it_is_loaded() {
        let with = |line: &str| read(&format!("[[template]]\nprogram = '/a'\n{line}")).unwrap_err();
        assert_eq!(read("").unwrap_err(), "there is no [[template]]");
        assert_eq!(
            read("[[template]]\nprogram = 'nginx'").unwrap_err(),
            "template 1: program is \"nginx\", which is no absolute path"
        );
        assert!(with("arguments = ['--port', '{prot}']").starts_with(
            "template 1, program: {prot} stands for nothing here; known are {cluster},"
        ));
        assert!(with("environment = { A = '{revision}' }").contains("environment: {revision}"));
        assert!(with("reload = { command = [] }").contains("reload is \"\""));
        assert!(with("reload = { signal = 'KILL' }").contains("unknown variant `KILL`"));
        assert!(with("ready = { answer = 'a' }").contains("ready.answer needs ready.http"));
        assert!(with("ready = { http = '/a b' }").contains("is no path"));
        assert!(with("colour = 'red'").contains("unknown field `colour`"));
        assert!(
            with("configuration = { text = { text = '{apis}', api = '{api}' } }")
                .contains("configuration: {api} stands for nothing")
        );
    }
}
