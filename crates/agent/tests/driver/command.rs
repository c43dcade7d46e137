//! The command driver, with nginx.

use std::path::Path;

use meridian_agent::driver::{
    CommandConfig, CommandDriver, CommandTemplate, CommandTemplates, UnitLimits,
};
use meridian_domain::Generation;

use crate::support::{self, GATEWAY, Like, SHORT_DRAIN_LIMIT};

mod nginx;
mod programs;

pub use programs::become_program;

conformance!(Kind);

type Machine = support::Machine<Kind>;

/// The command driver; the units are nginx.
pub struct Kind;

impl support::Kind for Kind {
    const NAME: &'static str = "command";
    type Driver = CommandDriver;

    fn lacks() -> Option<String> {
        let program = CommandTemplate::nginx().program;
        (!program.exists()).then(|| format!("{} is not installed", program.display()))
    }

    async fn open(run: &Path, generation: u64, like: Like) -> CommandDriver {
        let mut template = CommandTemplate::nginx();
        match like {
            Like::Usual | Like::Foreign => {}
            Like::Failing => {
                template.program = "/bin/sh".into();
                template.arguments =
                    ["-c", "echo no luck today >&2; exit 3"].map(Into::into).into();
            }
            Like::Missing => template.program = "/nowhere/nginx".into(),
            Like::Impatient => {
                template.drain_limit_ms = SHORT_DRAIN_LIMIT.as_millis().try_into().unwrap();
            }
        }
        open(run, generation, like, template).await
    }

    fn missing() -> String {
        "/nowhere/nginx cannot be started".to_owned()
    }
}

async fn open(run: &Path, generation: u64, like: Like, template: CommandTemplate) -> CommandDriver {
    let config = CommandConfig {
        cluster: like.cluster(),
        agent: Like::agent(),
        generation: Generation(generation),
        directory: run.to_owned(),
        gateway: GATEWAY,
        templates: CommandTemplates::new(vec![template]).unwrap(),
        limits: UnitLimits::default(),
    };
    CommandDriver::open(config).await.unwrap()
}
