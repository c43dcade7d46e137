//! Units with their own user.

use meridian_agent::driver::{Builtin, BuiltinConfig, Driver as _, RunningUnit};
use meridian_domain::{Incarnation, Revision};

use super::{Machine, config};
use crate::support::{
    NOBODY, Variant, configuration, is_skipped_as_other_user, until, until_ready, user,
};

async fn open(machine: &Machine, generation: u64) -> Builtin {
    let config = config(&machine.run(), generation, Variant::Usual);
    Builtin::open(BuiltinConfig { user: Some(NOBODY), ..config }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn units_run_as_their_own_user_and_the_agent_controls_and_adopts_them() {
    if is_skipped_as_other_user() {
        return;
    }
    let machine = Machine::new();
    let driver = open(&machine, 1).await;
    driver.start(machine.spec(7)).await.unwrap();
    driver.start(machine.spec(8)).await.unwrap();
    until_ready(&driver, 2).await;
    let processes = machine.processes();
    let users: Vec<_> = processes.iter().filter_map(|pid| user(*pid)).collect();
    assert_eq!(users, [NOBODY.uid; 2]);
    driver.stop(Incarnation(8)).await.unwrap();
    until(&driver, "one unit is left", |units| units.len() == 1).await;
    assert!(!machine.run().join("u8.d").exists() && !machine.run().join("u8.json").exists());
    drop(driver);

    let driver = open(&machine, 2).await;
    until_ready(&driver, 1).await;
    assert!(processes.contains(&machine.processes()[0]), "{processes:?}");
    driver.configure(Incarnation(7), configuration(100, &[]).into()).await.unwrap();
    let configured = |units: &[RunningUnit]| units[0].configuration == Revision(100);
    until(&driver, "it has the configuration", configured).await;
    machine.tidy(&driver).await;
}
