//! The plan to run one unit: its template and the values of its placeholders.

use std::io;
use std::path::{Path, PathBuf};

use meridian_domain::{AgentName, Configuration};

use super::checked::{Invocation, Template};
use super::files::UnitFiles;
use super::pattern::Values;
use super::probe::ProbeTarget;
use super::render::{self, RenderError};
use super::template::ProbeAddress;
use crate::driver::run_directory::{Intent, RunDirectory};
use crate::driver::{UnitLimits, UnitUser};

/// Plan to run one unit.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) template: Template,
    /// False if no template of the configuration matches the unit, which runs already.
    pub(super) has_template: bool,
    pub(super) files: UnitFiles,
    /// Target of the probes.
    pub(super) probe_target: ProbeTarget,
    values: Values,
}

impl Plan {
    pub(super) fn new(
        template: Option<Template>,
        intent: &Intent,
        agent: &AgentName,
        run: &RunDirectory,
        user: Option<UnitUser>,
    ) -> Self {
        let has_template = template.is_some();
        let template = template.unwrap_or_else(Template::fallback);
        let directory = run.unit_directory(intent.incarnation);
        let files = UnitFiles::new(directory, user);
        let socket = match user {
            None => format!("../u{}.sock", intent.incarnation),
            Some(_) => format!("u{}.sock", intent.incarnation),
        };
        let probe_target = match template.probe_at {
            ProbeAddress::Address => ProbeTarget::Address(intent.address),
            ProbeAddress::Socket => ProbeTarget::Socket(match user {
                None => run.socket(intent.incarnation),
                Some(_) => run.program_socket(intent.incarnation),
            }),
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
            ("directory", files.program_directory().display().to_string()),
            ("configuration_file", files.configuration().display().to_string()),
            ("socket", socket),
        ]);
        Self { template, has_template, files, probe_target, values }
    }

    pub(super) fn values(&self) -> &Values {
        &self.values
    }

    /// Returns the environment of the program.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        let environment = self.template.environment.iter();
        environment.map(|(name, value)| (name.clone(), value.fill(&self.values))).collect()
    }

    /// Renders the configuration file, if the template has one.
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

    /// Returns the text that a probe's response contains once the program serves `configuration`.
    pub(super) fn expected_body(&self, configuration: &Configuration) -> String {
        let values = render::values(&self.values, configuration);
        let expected = self.template.body_contains.as_ref();
        expected.map_or_else(String::new, |pattern| pattern.fill(&values))
    }

    /// Runs the template's `check` on the configuration file staged at `path`.
    pub(super) async fn check(&self, path: &Path) -> io::Result<()> {
        let Some(check) = &self.template.check else { return Ok(()) };
        let mut values = self.values.clone();
        values.insert("configuration_file", path.display().to_string());
        super::process::run(check, &values, &self.files).await
    }

    /// Runs a command of the template.
    pub(super) async fn run(&self, invocation: &Invocation) -> io::Result<()> {
        super::process::run(invocation, &self.values, &self.files).await
    }

    pub(super) fn program(&self) -> PathBuf {
        self.template.start.program.clone()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use std::collections::BTreeSet;

    use meridian_domain::{ClusterId, Generation, Incarnation, UnitId};

    use super::*;
    use crate::driver::command::pattern::{CONFIGURATION_PLACEHOLDERS, UNIT_PLACEHOLDERS};
    use crate::driver::run_directory::DriverKind;

    #[test]
    fn every_placeholder_of_a_unit_and_its_configuration_has_a_value() {
        let root = tempfile::tempdir().unwrap();
        let run = RunDirectory::open(root.path()).unwrap();
        let intent = Intent {
            version: 1,
            cluster: ClusterId(uuid::Uuid::nil()),
            unit: UnitId {
                service: "contoso".parse().unwrap(),
                region: "westeurope".parse().unwrap(),
                slot: 1,
            },
            incarnation: Incarnation(7),
            generation: Generation(1),
            address: "127.0.0.1:8080".parse().unwrap(),
            driver: DriverKind::Command,
        };
        let agent = "we-1".parse().unwrap();
        let plan = Plan::new(None, &intent, &agent, &run, None);
        let names = |values: &Values| values.keys().copied().collect::<BTreeSet<_>>();
        assert_eq!(names(plan.values()), BTreeSet::from(UNIT_PLACEHOLDERS));
        let values = render::values(plan.values(), &Configuration::default());
        let known = UNIT_PLACEHOLDERS.into_iter().chain(CONFIGURATION_PLACEHOLDERS);
        assert_eq!(names(&values), known.collect());
    }
}
