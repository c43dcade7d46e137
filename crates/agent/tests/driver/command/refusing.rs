//! Configurations that a program does not accept.

use std::path::Path;
use std::sync::Arc;

use meridian_agent::driver::{CommandTemplate, Driver as _, RunningUnit};
use meridian_domain::{Incarnation, Revision, ServiceName};

use super::programs::program;
use super::{Machine, open};
use crate::support::{Variant, configuration, until, until_ready};

/// A template whose `check` accepts a configuration once the file exists.
fn checked(accepted: &Path) -> CommandTemplate {
    let script = format!("test -e {} || {{ echo host not found; exit 1; }}", accepted.display());
    CommandTemplate {
        check: Some(["/bin/sh".to_owned(), "-c".to_owned(), script].to_vec()),
        reload: Some(meridian_agent::driver::command::Reload::Command(vec![
            "/bin/true".to_owned(),
        ])),
        ..program()
    }
}

fn refuses(units: &[RunningUnit], revision: u64) -> bool {
    let refused = units[0].refused.as_ref().map(|refusal| refusal.configuration);
    refused == Some(Revision(revision)) && units[0].configuration == Revision(9)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_configuration_is_listed_with_its_cause_and_tried_again() {
    let machine = Machine::new();
    let accepted = machine.run().with_file_name("accepted");
    let template = checked(&accepted);
    let driver = open(&machine.run(), 1, Variant::Usual, template).await;
    driver.start(machine.spec(7)).await.unwrap();
    until_ready(&driver, 1).await;
    driver.configure(Incarnation(7), Arc::new(configuration(10, &[]))).await.unwrap();
    let units = until(&driver, "it is refused", |units| refuses(units, 10)).await;
    let cause = units[0].refused.as_ref().map(|refusal| refusal.cause.clone()).unwrap();
    assert!(cause.contains("host not found"), "{cause}");
    std::fs::write(&accepted, "").unwrap();
    let served = |units: &[RunningUnit]| units[0].configuration == Revision(10);
    let units = until(&driver, "it is served", served).await;
    assert_eq!(units[0].refused, None);
    machine.tidy(&driver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_without_a_template_or_a_way_to_reload_says_so() {
    let machine = Machine::new();
    let first = open(&machine.run(), 1, Variant::Usual, program()).await;
    first.start(machine.spec(7)).await.unwrap();
    until_ready(&first, 1).await;
    let other = ServiceName::new("other").unwrap();
    let without = CommandTemplate { service: Some(other), ..program() };
    for (generation, template, expected) in
        [(2, without, "no template matches the unit"), (3, program(), "has no `reload`")]
    {
        let driver = open(&machine.run(), generation, Variant::Usual, template).await;
        driver.configure(Incarnation(7), Arc::new(configuration(9, &[]))).await.unwrap();
        until_ready(&driver, 1).await;
        driver.configure(Incarnation(7), Arc::new(configuration(11, &[]))).await.unwrap();
        let units = until(&driver, "it is refused", |units| refuses(units, 11)).await;
        let cause = units[0].refused.as_ref().map(|refusal| refusal.cause.clone()).unwrap();
        assert!(cause.contains(expected), "{cause}");
    }
    let driver = open(&machine.run(), 4, Variant::Usual, program()).await;
    machine.tidy(&driver).await;
}
