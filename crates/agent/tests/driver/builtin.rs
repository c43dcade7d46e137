//! The built-in driver.

use std::ffi::OsString;
use std::path::Path;

use meridian_agent::driver::{Builtin, BuiltinConfig, Program, UnitLimits};
use meridian_domain::Generation;
use meridian_gateway::UnitConfig;

use crate::support::{self, GATEWAY, Like, SHORT_DRAIN_LIMIT, arguments};

mod crashes;
mod lifecycle;
mod load;

pub use crashes::Late;

conformance!(Kind);

type Machine = support::Machine<Kind>;

/// The built-in driver; the units are this test program.
pub struct Kind;

impl support::Kind for Kind {
    const NAME: &'static str = "builtin";
    type Driver = Builtin;

    async fn open(run: &Path, generation: u64, like: Like) -> Builtin {
        Builtin::open(config(run, generation, like)).await.unwrap()
    }

    fn missing() -> String {
        "/nowhere/meridian cannot be started".to_owned()
    }
}

fn config(run: &Path, generation: u64, like: Like) -> BuiltinConfig {
    let program = |path: &str, arguments: &[&str]| Program {
        path: path.into(),
        arguments: arguments.iter().map(OsString::from).collect(),
    };
    let this = std::env::current_exe().unwrap();
    BuiltinConfig {
        cluster: like.cluster(),
        agent: Like::agent(),
        generation: Generation(generation),
        directory: run.to_owned(),
        gateway: GATEWAY,
        program: match like {
            Like::Failing => program("/bin/sh", &["-c", "echo no luck today >&2; exit 3"]),
            Like::Missing => program("/nowhere/meridian", &[]),
            Like::Usual | Like::Impatient | Like::Foreign => {
                program(this.to_str().unwrap(), &["--exact", "unit_process", "--nocapture", "--"])
            }
        },
        limits: UnitLimits::default(),
        drain_limit: match like {
            Like::Impatient => SHORT_DRAIN_LIMIT,
            _ => BuiltinConfig::DRAIN_LIMIT,
        },
    }
}

/// A driver whose units run `script` before they become one. `$0` and its arguments are the unit.
fn config_behind(script: &str, run: &Path, generation: u64) -> BuiltinConfig {
    let mut config = config(run, generation, Like::Usual);
    let Program { path, arguments } = config.program;
    let shell = ["-c".into(), script.into(), path.into_os_string()];
    let arguments = shell.into_iter().chain(arguments).collect();
    config.program = Program { path: "/bin/sh".into(), arguments };
    config
}

/// What this test program does when it was started as a unit.
pub fn become_unit() {
    if arguments().is_empty() {
        return;
    }
    let config = UnitConfig::from_arguments(arguments()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(meridian_gateway::run(config)).unwrap();
}
