use proptest::collection::vec;
use proptest::prelude::*;
use tokio::time::{Duration, sleep};

use crate::log::Quorum;
use crate::world::{ProcessRun, World};

/// A fault, or a change of the desired units.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Scale(u16),
    UnitCrashes(prop::sample::Index),
    AgentCrashes,
    QuorumIsLost,
    QuorumReturns,
    TimePasses(u64),
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        (1..=12_u16).prop_map(Fault::Scale),
        any::<prop::sample::Index>().prop_map(Fault::UnitCrashes),
        Just(Fault::AgentCrashes),
        Just(Fault::QuorumIsLost),
        Just(Fault::QuorumReturns),
        (0..3_000_u64).prop_map(Fault::TimePasses),
    ]
}

async fn inject(world: &mut World, agent: ProcessRun, fault: Fault) -> ProcessRun {
    match fault {
        // Operators reach the cluster even if this agent does not.
        Fault::Scale(units) => world.scale(units),
        Fault::UnitCrashes(index) => {
            let ready = world.machine.ready();
            if !ready.is_empty() {
                world.machine.crash(*index.get(&ready));
            }
        }
        Fault::AgentCrashes => {
            agent.kill().await;
            return world.agent();
        }
        Fault::QuorumIsLost => world.log.set_quorum(Quorum::Unreachable),
        Fault::QuorumReturns => world.log.set_quorum(Quorum::Reachable),
        Fault::TimePasses(millis) => sleep(Duration::from_millis(millis)).await,
    }
    agent
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_machine_converges_after_any_sequence_of_faults(faults in vec(fault(), 0..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut world = World::contoso(2);
            let mut agent = world.agent();
            for fault in faults {
                agent = inject(&mut world, agent, fault).await;
            }
            world.log.set_quorum(Quorum::Reachable);
            // A report that was in flight for a while may describe an outdated table.
            sleep(Duration::from_secs(10)).await;
            world.converge().await;
            assert_eq!(world.run_for(Duration::from_secs(600)).await, (0, 0));
            assert!(world.has_converged());
            agent.stop().await;
        });
    }
}
