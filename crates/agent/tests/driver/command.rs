//! Tests of the command driver, with nginx and with a test program.

use std::path::Path;

use meridian_agent::driver::{
    CommandConfig, CommandDriver, CommandTemplate, CommandTemplates, UnitLimits,
};
use meridian_domain::Generation;

use crate::support::{self, GATEWAY, SHORT_DRAIN_TIMEOUT, Variant};

mod nginx;
mod programs;
mod refusing;

pub use programs::become_program;

conformance!(Kind);

type Machine = support::Machine<Kind>;

/// The command driver. Its units are nginx.
pub struct Kind;

impl support::Kind for Kind {
    const NAME: &'static str = "command";
    type Driver = CommandDriver;

    fn missing_prerequisite() -> Option<String> {
        let program = CommandTemplate::nginx().program;
        (!program.exists()).then(|| format!("{} is not installed", program.display()))
    }

    async fn open(run: &Path, generation: u64, variant: Variant) -> CommandDriver {
        let mut template = CommandTemplate::nginx();
        match variant {
            Variant::Usual | Variant::Foreign => {}
            Variant::Failing => {
                template.program = "/bin/sh".into();
                template.arguments =
                    ["-c", "echo no luck today >&2; exit 3"].map(Into::into).into();
            }
            Variant::Missing => template.program = "/nowhere/nginx".into(),
            Variant::Impatient => {
                template.drain_timeout_ms = SHORT_DRAIN_TIMEOUT.as_millis().try_into().unwrap();
            }
        }
        open(run, generation, variant, template).await
    }

    fn missing() -> String {
        "cannot spawn /nowhere/nginx".to_owned()
    }
}

pub async fn open(
    run: &Path,
    generation: u64,
    variant: Variant,
    template: CommandTemplate,
) -> CommandDriver {
    CommandDriver::open(config(run, generation, variant, template)).await.unwrap()
}

fn config(
    run: &Path,
    generation: u64,
    variant: Variant,
    template: CommandTemplate,
) -> CommandConfig {
    CommandConfig {
        cluster: variant.cluster(),
        agent: Variant::agent(),
        generation: Generation(generation),
        directory: run.to_owned(),
        gateway: GATEWAY,
        templates: CommandTemplates::new(vec![template]).unwrap(),
        limits: UnitLimits::default(),
        user: None,
    }
}
