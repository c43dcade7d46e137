//! Tests of the built-in driver.

use std::ffi::OsString;
use std::path::Path;

use meridian_agent::driver::{Builtin, BuiltinConfig, Program, Traffic, UnitLimits};
use meridian_domain::Generation;
use meridian_gateway::UnitConfig;

use crate::support::{self, GATEWAY, SHORT_DRAIN_TIMEOUT, Variant, arguments};

mod crashes;
mod lifecycle;
mod load;
mod moving;
mod redirects;
mod traffic;
mod user;

pub use crashes::Late;

conformance!(Kind);

type Machine = support::Machine<Kind>;

/// The built-in driver. Its units are this test program.
pub struct Kind;

impl support::Kind for Kind {
    const NAME: &'static str = "builtin";
    type Driver = Builtin;

    async fn open(run: &Path, generation: u64, variant: Variant) -> Builtin {
        Builtin::open(config(run, generation, variant)).await.unwrap()
    }

    fn missing() -> String {
        "cannot spawn /nowhere/meridian".to_owned()
    }
}

fn config(run: &Path, generation: u64, variant: Variant) -> BuiltinConfig {
    let program = |path: &str, arguments: &[&str]| Program {
        path: path.into(),
        arguments: arguments.iter().map(OsString::from).collect(),
    };
    let this = std::env::current_exe().unwrap();
    BuiltinConfig {
        cluster: variant.cluster(),
        agent: Variant::agent(),
        generation: Generation(generation),
        directory: run.to_owned(),
        gateway: GATEWAY,
        program: match variant {
            Variant::Failing => program("/bin/sh", &["-c", "echo no luck today >&2; exit 3"]),
            Variant::Missing => program("/nowhere/meridian", &[]),
            Variant::Usual | Variant::Impatient | Variant::Foreign => {
                program(this.to_str().unwrap(), &["--exact", "unit_process", "--nocapture", "--"])
            }
        },
        limits: UnitLimits::default(),
        traffic: Traffic::default(),
        user: None,
        drain_timeout: match variant {
            Variant::Impatient => SHORT_DRAIN_TIMEOUT,
            Variant::Usual | Variant::Failing | Variant::Missing | Variant::Foreign => {
                BuiltinConfig::DRAIN_TIMEOUT
            }
        },
    }
}

/// Configures a driver whose units run `script` first. `$0` and its arguments start the unit.
fn config_with_script(script: &str, run: &Path, generation: u64) -> BuiltinConfig {
    let mut config = config(run, generation, Variant::Usual);
    let Program { path, arguments } = config.program;
    let shell = ["-c".into(), script.into(), path.into_os_string()];
    let arguments = shell.into_iter().chain(arguments).collect();
    config.program = Program { path: "/bin/sh".into(), arguments };
    config
}

/// Runs the unit if this test program was started as one.
pub fn become_unit() {
    if arguments().is_empty() {
        return;
    }
    let config = UnitConfig::from_arguments(arguments()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(meridian_gateway::run(config)).unwrap();
}
