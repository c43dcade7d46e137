use std::fs::File;
use std::path::Path;
use std::time::Duration;

use meridian_agent::driver::{Builtin, Driver as _, ExitStatus, Phase};
use meridian_domain::Incarnation;
use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;

use super::{Kind, Machine, config, config_behind};
use crate::support::{
    self, Kind as _, Like, call, eventually, send, spec, until_exited, until_ready,
};

/// The built-in driver, whose units only start once the file `go` is in the run directory.
pub struct Late;

impl support::Kind for Late {
    const NAME: &'static str = "builtin-late";
    type Driver = Builtin;

    async fn open(run: &Path, generation: u64, _: Like) -> Builtin {
        let script = "until [ -e go ]; do sleep 0.01; done; exec \"$0\" \"$@\"";
        Builtin::open(config_behind(script, run, generation)).await.unwrap()
    }

    fn missing() -> String {
        Kind::missing()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn how_an_adopted_unit_ended_is_not_known() {
    let machine = Machine::new();
    let mut agent = machine.agent(1);
    eventually("the unit answers", || call(machine.address()).is_ok()).await;
    agent.kill().unwrap();
    agent.wait().unwrap();
    let driver = machine.driver(2).await;
    send(until_ready(&driver, 1).await[0].pid.unwrap(), Signal::KILL);
    assert_eq!(until_exited(&driver).await.how, ExitStatus::Unknown);
    machine.tidy(&driver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_starts_after_its_agent_died_finds_that_nobody_wants_it() {
    let machine = support::Machine::<Late>::new();
    let mut agent = machine.agent(1);
    eventually("the unit is spawned", || !machine.processes().is_empty()).await;
    agent.kill().unwrap();
    agent.wait().unwrap();

    let driver = Kind::open(&machine.run(), 2, Like::Usual).await;
    assert_eq!(driver.list().await.unwrap(), []);
    File::create(machine.run().join("go")).unwrap();
    eventually("the late unit has ended", || machine.processes().is_empty()).await;
    driver.start(machine.spec(1)).await.unwrap();
    until_ready(&driver, 1).await;
    assert_eq!(machine.processes().len(), 1);
    machine.tidy(&driver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_unit_does_not_take_the_place_of_the_one_that_the_next_life_spawned() {
    let machine = support::Machine::<Late>::new();
    let mut agent = machine.agent(1);
    eventually("the unit is spawned", || !machine.processes().is_empty()).await;
    let late = machine.processes()[0];
    agent.kill().unwrap();
    agent.wait().unwrap();

    // It holds the old socket until it ends, so the next life is given another port.
    let port = Machine::new().port;
    let script = "while grep -q . /proc/$LATE/cmdline; do sleep 0.01; done; exec \"$0\" \"$@\""
        .replace("$LATE", &late.to_string());
    let driver = Builtin::open(config_behind(&script, &machine.run(), 2)).await.unwrap();
    driver.start(spec(1, port)).await.unwrap();
    File::create(machine.run().join("go")).unwrap();
    let units = until_ready(&driver, 1).await;
    assert_ne!(units[0].pid, Some(late));
    assert_eq!(machine.processes(), [units[0].pid.unwrap()]);
    machine.tidy(&driver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_found_unit_that_hangs_is_killed_once_it_is_stopped_and_not_before() {
    let machine = Machine::new();
    let mut agent = machine.agent(1);
    eventually("the unit answers", || call(machine.address()).is_ok()).await;
    agent.kill().unwrap();
    agent.wait().unwrap();
    machine.freeze_all();

    let driver = machine.driver_like(2, Like::Impatient).await;
    assert_eq!(driver.list().await.unwrap()[0].phase, Phase::Starting);
    assert_eq!(machine.processes().len(), 1);
    machine.tidy(&driver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_life_of_the_agent_cannot_stop_what_a_newer_one_has() {
    let machine = Machine::new();
    let newer = machine.driver(5).await;
    newer.start(machine.spec(1)).await.unwrap();
    let units = until_ready(&newer, 1).await;
    let mut config = config(&machine.run(), 4, Like::Usual);
    config.drain_limit = Duration::from_millis(1);
    let older = Builtin::open(config).await.unwrap();
    let seen = older.list().await.unwrap();
    assert_eq!((seen.len(), &seen[0].phase), (1, &Phase::Starting), "it answered the older one");
    older.stop(Incarnation(1)).await.unwrap();
    let mut probes = 0;
    eventually("many times the older one's patience is over", || {
        probes += 1;
        probes > 20
    })
    .await;
    assert_eq!(newer.list().await.unwrap()[0].pid, units[0].pid);
    assert!(call(machine.address()).is_ok());
    machine.tidy(&newer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn units_end_when_the_run_directory_is_deleted_under_them() {
    let machine = Machine::new();
    let driver = machine.driver(1).await;
    driver.start(machine.spec(1)).await.unwrap();
    let pid = until_ready(&driver, 1).await[0].pid.unwrap();
    std::fs::remove_dir_all(machine.run()).unwrap();
    until_exited(&driver).await;
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_is_known_by_what_it_says_where_its_intent_cannot_be_read() {
    let machine = Machine::new();
    let first = machine.driver(1).await;
    first.start(machine.spec(1)).await.unwrap();
    until_ready(&first, 1).await;
    drop(first);
    std::fs::write(machine.run().join("u1.json"), "damaged").unwrap();
    let second = machine.driver(2).await;
    let units = until_ready(&second, 1).await;
    assert_eq!(units[0].unit, machine.spec(1).unit);
    machine.tidy(&second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_lock_without_an_answer_is_listed_and_its_end_is_seen() {
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
