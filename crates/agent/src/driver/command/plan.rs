//! How one unit is run: its template, and what the placeholders in that stand for.

use std::io;
use std::path::{Path, PathBuf};

use meridian_domain::{AgentName, Configuration};

use super::checked::{Invocation, Template};
use super::files::UnitFiles;
use super::pattern::Values;
use super::probe::Target;
use super::render::{self, RenderError};
use super::template::ProbeAddress;
use crate::driver::UnitLimits;
use crate::driver::run_directory::{Intent, RunDirectory};

/// How one unit is run.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) template: Template,
    pub(super) files: UnitFiles,
    /// Where it is asked whether it serves.
    pub(super) target: Target,
    values: Values,
}

impl Plan {
    pub(super) fn new(
        template: Template,
        intent: &Intent,
        agent: &AgentName,
        run: &RunDirectory,
    ) -> Self {
        let directory = run.unit_directory(intent.incarnation);
        let files = UnitFiles::new(directory);
        let target = match template.probe_at {
            ProbeAddress::Address => Target::Address(intent.address),
            ProbeAddress::Socket => Target::Socket(run.socket(intent.incarnation)),
        };
        let unit = &intent.unit;
        let values = Values::from([
            ("cluster", intent.cluster.to_string()),
            ("agent", agent.to_string()),
            ("service", unit.service.to_string()),
            ("region", unit.region.to_string()),
            ("slot", unit.slot.to_string()),
            ("incarnation", intent.incarnation.to_string()),
            ("address", intent.address.ip().to_string()),
            ("port", intent.address.port().to_string()),
            ("listen", intent.address.to_string()),
            ("directory", files.directory().display().to_string()),
            ("configuration_file", files.configuration().display().to_string()),
            ("socket", format!("../u{}.sock", intent.incarnation)),
        ]);
        Self { template, files, target, values }
    }

    pub(super) fn values(&self) -> &Values {
        &self.values
    }

    /// What the template's `environment` says.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        let environment = self.template.environment.iter();
        environment.map(|(name, value)| (name.clone(), value.fill(&self.values))).collect()
    }

    /// The whole configuration file, if there is one.
    pub(super) fn render(
        &self,
        configuration: &Configuration,
        limits: &UnitLimits,
    ) -> Result<Option<String>, RenderError> {
        let content = self.template.configuration.as_ref();
        content
            .map(|content| render::render(content, &self.values, configuration, limits))
            .transpose()
    }

    /// What a program that serves `configuration` answers.
    pub(super) fn answer(&self, configuration: &Configuration) -> String {
        let values = render::values(&self.values, configuration);
        self.template.answer.as_ref().map_or_else(String::new, |answer| answer.fill(&values))
    }

    /// Has the template's `check` look at the configuration file that is staged at `path`.
    pub(super) async fn check(&self, path: &Path) -> io::Result<()> {
        let Some(check) = &self.template.check else { return Ok(()) };
        let mut values = self.values.clone();
        values.insert("configuration_file", path.display().to_string());
        super::process::run(check, &values, self.directory()).await
    }

    /// Runs one of the template's programs.
    pub(super) async fn run(&self, invocation: &Invocation) -> io::Result<()> {
        super::process::run(invocation, &self.values, self.directory()).await
    }

    fn directory(&self) -> &Path {
        self.files.directory()
    }

    pub(super) fn program(&self) -> PathBuf {
        self.template.start.program.clone()
    }
}
