//! Disks and processes of agents in the status of the cluster.

use meridian_proto::v1;

use crate::harness::World;

#[tokio::test]
async fn a_low_disk_is_a_warning_with_its_agent_and_the_commands_that_still_work() {
    let mut world = World::new().await;
    world.fake.set(|script| script.low_disk = vec!["b".to_owned()]);
    let status = world.cluster.get_status(v1::GetStatusRequest {}).await;
    let status = status.expect("is returned").into_inner();
    let [warning] = status.warnings.as_slice() else { panic!("{:?}", status.warnings) };
    assert_eq!((&*warning.reason, &*warning.subject), ("DISK_LOW", "agents/b"));
    assert!(
        warning.message.contains("has 100 MiB free, minimum 256 MiB; it accepts no changes"),
        "{warning:?}"
    );
    assert!(warning.next_step.contains("`meridian cluster trim-history`"), "{warning:?}");
    assert_eq!(status.health(), v1::Health::Degraded);
}

#[tokio::test]
async fn two_processes_with_one_node_id_are_a_warning() {
    let mut world = World::new().await;
    world.fake.set(|script| script.duplicated = vec!["b".to_owned()]);
    let status = world.cluster.get_status(v1::GetStatusRequest {}).await;
    let status = status.expect("is returned").into_inner();
    let [warning] = status.warnings.as_slice() else { panic!("{:?}", status.warnings) };
    assert_eq!((&*warning.reason, &*warning.subject), ("AGENT_DUPLICATED", "agents/b"));
    assert_eq!(status.health(), v1::Health::Degraded);
}
