use std::fs::File;
use std::path::Path;
use std::time::Duration;

use meridian_agent::driver::{Builtin, Driver as _, ExitStatus, Phase};
use meridian_domain::Incarnation;
use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;

use super::{Kind, Machine, config, config_with_script};
use crate::support::{
    self, Kind as _, Variant, eventually, get_status, send, spec, until_exited, until_ready,
};

/// The built-in driver with units that start only once the file `go` exists in the run directory.
pub struct Late;

impl support::Kind for Late {
    const NAME: &'static str = "builtin-late";
    type Driver = Builtin;

    async fn open(run: &Path, generation: u64, _: Variant) -> Builtin {
        let script = "until [ -e go ]; do sleep 0.01; done; exec \"$0\" \"$@\"";
        Builtin::open(config_with_script(script, run, generation)).await.unwrap()
    }

    fn missing() -> String {
        Kind::missing()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_status_of_an_adopted_unit_is_unknown() {
    let machine = Machine::new();
    let mut agent = machine.agent(1);
    eventually("the unit responds", || get_status(machine.address()).is_ok()).await;
    agent.kill().unwrap();
    agent.wait().unwrap();
    let driver = machine.driver(2).await;
    send(until_ready(&driver, 1).await[0].pid.unwrap(), Signal::KILL);
    assert_eq!(until_exited(&driver).await.status, ExitStatus::Unknown);
    machine.tidy(&driver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_starts_after_its_agent_crashed_and_was_replaced_exits() {
    let machine = support::Machine::<Late>::new();
    let mut agent = machine.agent(1);
    eventually("the unit is spawned", || !machine.processes().is_empty()).await;
    agent.kill().unwrap();
    agent.wait().unwrap();

    let driver = Kind::open(&machine.run(), 2, Variant::Usual).await;
    assert_eq!(driver.list().await.unwrap(), []);
    File::create(machine.run().join("go")).unwrap();
    eventually("the late unit has exited", || machine.processes().is_empty()).await;
    driver.start(machine.spec(1)).await.unwrap();
    until_ready(&driver, 1).await;
    assert_eq!(machine.processes().len(), 1);
    machine.tidy(&driver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_unit_does_not_replace_the_one_that_the_next_agent_spawned() {
    let machine = support::Machine::<Late>::new();
    let mut agent = machine.agent(1);
    eventually("the unit is spawned", || !machine.processes().is_empty()).await;
    let late = machine.processes()[0];
    agent.kill().unwrap();
    agent.wait().unwrap();

    // It holds the old socket until it exits, so the next process run gets another port.
    let port = Machine::new().port;
    let script = "while grep -q . /proc/$LATE/cmdline; do sleep 0.01; done; exec \"$0\" \"$@\""
        .replace("$LATE", &late.to_string());
    let driver = Builtin::open(config_with_script(&script, &machine.run(), 2)).await.unwrap();
    driver.start(spec(1, port)).await.unwrap();
    File::create(machine.run().join("go")).unwrap();
    let units = until_ready(&driver, 1).await;
    assert_ne!(units[0].pid, Some(late));
    assert_eq!(machine.processes(), [units[0].pid.unwrap()]);
    machine.tidy(&driver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_adopted_unit_is_killed_only_after_it_is_stopped() {
    let machine = Machine::new();
    let mut agent = machine.agent(1);
    eventually("the unit responds", || get_status(machine.address()).is_ok()).await;
    agent.kill().unwrap();
    agent.wait().unwrap();
    machine.freeze_all();

    let driver = machine.driver_variant(2, Variant::Impatient).await;
    assert_eq!(driver.list().await.unwrap()[0].phase, Phase::Starting);
    assert_eq!(machine.processes().len(), 1);
    machine.tidy(&driver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_generation_of_the_agent_cannot_stop_the_units_of_a_newer_one() {
    let machine = Machine::new();
    let newer = machine.driver(5).await;
    newer.start(machine.spec(1)).await.unwrap();
    let units = until_ready(&newer, 1).await;
    let mut config = config(&machine.run(), 4, Variant::Usual);
    config.drain_timeout = Duration::from_millis(1);
    let older = Builtin::open(config).await.unwrap();
    let seen = older.list().await.unwrap();
    assert_eq!(
        (seen.len(), &seen[0].phase),
        (1, &Phase::Starting),
        "it obeyed the older generation"
    );
    older.stop(Incarnation(1)).await.unwrap();
    let mut probes = 0;
    eventually("the older generation's drain timeout has passed many times", || {
        probes += 1;
        probes > 20
    })
    .await;
    assert_eq!(newer.list().await.unwrap()[0].pid, units[0].pid);
    assert!(get_status(machine.address()).is_ok());
    machine.tidy(&newer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn units_exit_when_the_run_directory_is_deleted() {
    let machine = Machine::new();
    let driver = machine.driver(1).await;
    driver.start(machine.spec(1)).await.unwrap();
    let pid = until_ready(&driver, 1).await[0].pid.unwrap();
    std::fs::remove_dir_all(machine.run()).unwrap();
    until_exited(&driver).await;
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_with_an_unreadable_intent_is_adopted_by_the_identity_it_reports() {
    let machine = Machine::new();
    let first = machine.driver(1).await;
    first.start(machine.spec(1)).await.unwrap();
    until_ready(&first, 1).await;
    drop(first);
    std::fs::write(machine.run().join("u1.json"), "corrupt").unwrap();
    let second = machine.driver(2).await;
    let units = until_ready(&second, 1).await;
    assert_eq!(units[0].unit, machine.spec(1).unit);
    machine.tidy(&second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_holds_its_lock_but_does_not_respond_is_listed_until_it_exits() {
    let machine = Machine::new();
    let first = machine.driver(1).await;
    first.start(machine.spec(1)).await.unwrap();
    until_ready(&first, 1).await;
    let intent = std::fs::read(machine.run().join("u1.json")).unwrap();
    machine.tidy(&first).await;

    std::fs::write(machine.run().join("u1.json"), intent).unwrap();
    let hung = File::open(machine.run().join("u1.json")).unwrap();
    flock(&hung, FlockOperation::LockExclusive).unwrap();
    let second = machine.driver(2).await;
    let units = second.list().await.unwrap();
    assert_eq!((units[0].incarnation, &units[0].phase), (Incarnation(1), &Phase::Starting));
    drop(hung);
    until_exited(&second).await;
}
