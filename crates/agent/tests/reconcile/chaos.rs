use proptest::collection::vec;
use proptest::prelude::*;
use tokio::time::{Duration, sleep};

use crate::log::Quorum;
use crate::world::{Life, World};

/// What may happen to an agent.
#[derive(Debug, Clone, Copy)]
enum Mishap {
    Scale(u16),
    UnitDies(prop::sample::Index),
    AgentIsKilled,
    QuorumGoes,
    QuorumComes,
    TimePasses(u64),
}

fn mishap() -> impl Strategy<Value = Mishap> {
    prop_oneof![
        (1..=12_u16).prop_map(Mishap::Scale),
        any::<prop::sample::Index>().prop_map(Mishap::UnitDies),
        Just(Mishap::AgentIsKilled),
        Just(Mishap::QuorumGoes),
        Just(Mishap::QuorumComes),
        (0..3_000_u64).prop_map(Mishap::TimePasses),
    ]
}

async fn suffer(world: &mut World, life: Life, mishap: Mishap) -> Life {
    match mishap {
        // Operators reach the cluster whether this agent does or not.
        Mishap::Scale(units) => world.scale(units),
        Mishap::UnitDies(index) => {
            let ready = world.machine.ready();
            if !ready.is_empty() {
                world.machine.dies(*index.get(&ready));
            }
        }
        Mishap::AgentIsKilled => {
            life.killed().await;
            return world.agent();
        }
        Mishap::QuorumGoes => world.log.set_quorum(Quorum::Away),
        Mishap::QuorumComes => world.log.set_quorum(Quorum::Here),
        Mishap::TimePasses(millis) => sleep(Duration::from_millis(millis)).await,
    }
    life
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens_the_machine_comes_to_what_the_log_wants(mishaps in vec(mishap(), 0..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut world = World::contoso(2);
            let mut life = world.agent();
            for mishap in mishaps {
                life = suffer(&mut world, life, mishap).await;
            }
            world.log.set_quorum(Quorum::Here);
            // A report that was on its way for a while may still tell of the past.
            sleep(Duration::from_secs(10)).await;
            world.converges().await;
            assert_eq!(world.passes(Duration::from_secs(600)).await, (0, 0));
            assert!(world.has_converged());
            life.stop().await;
        });
    }
}
