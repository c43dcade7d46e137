//! Injects the faults of a schedule one after another, and removes each.

mod absence;
mod addresses;
mod cloned;
mod hanging_disk;
mod machines;
mod network;
mod outage;
mod restored;
mod units;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use meridian_proto::v1;
use meridian_testkit::history::{Fault, Outcome, Record, Recorder, Step};
use tokio::time::{Instant, sleep, sleep_until};

use super::cluster::Cluster;
use super::effects;
use super::operations::{Client, Mutation, context};
use super::schedule::{Kind, Planned, Schedule, Target};

/// Maximum attempts of a change that is part of a fault.
const ATTEMPTS: usize = 60;

/// Injects faults into a cluster.
pub struct Injector {
    cluster: Arc<Cluster>,
    recorder: Recorder,
    client: Client,
}

/// A fault in progress.
struct ActiveFault {
    number: u64,
    kind: Kind,
    nodes: Vec<String>,
}

impl Injector {
    pub fn new(cluster: &Arc<Cluster>, recorder: &Recorder) -> Self {
        let client = Client::new(cluster, recorder);
        Self { cluster: cluster.clone(), recorder: recorder.clone(), client }
    }

    /// Runs the schedule. A soak ends with the load phase even if faults are left: on a busy
    /// machine they take longer than planned.
    ///
    /// # Errors
    /// If a fault cannot be injected or removed.
    pub async fn run(&mut self, schedule: &Schedule, soak: bool) -> anyhow::Result<()> {
        let began = Instant::now();
        let load = Duration::from_secs(schedule.load_seconds);
        for planned in &schedule.faults {
            sleep_until(began + Duration::from_millis(planned.at_ms)).await;
            if soak && began.elapsed() > load {
                break;
            }
            if let Some(reason) = self.cluster.unsupported(planned.kind) {
                eprintln!("{:>8} ms  {} skipped: {reason}", planned.at_ms, planned.kind.name());
                continue;
            }
            self.inject(planned).await.with_context(|| format!("fault {planned:?}"))?;
        }
        Ok(())
    }

    async fn inject(&mut self, planned: &Planned) -> anyhow::Result<()> {
        let mut member = self.cluster.target(planned.agent);
        if planned.kind == Kind::Region {
            // The primary region cannot be removed.
            member = member.max(1);
        }
        if planned.kind == Kind::DiskHang {
            member = self.cluster.target(Target::Leader);
        }
        if matches!(planned.kind, Kind::Unit | Kind::PidReuse | Kind::Hang | Kind::Outage) {
            member = effects::member_with_unit(&self.cluster, member).await?;
        }
        let affected = match planned.kind {
            Kind::Loss | Kind::Membership | Kind::All | Kind::Quorum => self.all(),
            Kind::Duplicate | Kind::Reorder | Kind::LongLinks | Kind::SlowLookups => self.all(),
            Kind::Move => self.moving(member, planned.variant),
            _ => vec![member],
        };
        let nodes = affected.iter().map(|index| self.cluster.members[*index].name()).collect();
        let fault = ActiveFault { number: self.recorder.number(), kind: planned.kind, nodes };
        let name = planned.kind.name();
        eprintln!("{:>8} ms  {name} {}", planned.at_ms, fault.nodes.join(" "));
        self.record(&fault, Step::Started);
        self.act(&fault, planned, member).await?;
        self.record(&fault, Step::Ended);
        Ok(())
    }

    /// Injects a fault and removes it after its duration.
    async fn act(
        &mut self,
        fault: &ActiveFault,
        planned: &Planned,
        member: usize,
    ) -> anyhow::Result<()> {
        let Planned { kind, variant, .. } = *planned;
        let duration = Duration::from_millis(planned.duration_ms);
        match kind {
            Kind::Kill => self.kill(fault, &[member], duration).await?,
            Kind::All => self.kill(fault, &self.all(), duration).await?,
            Kind::Pause => self.pause(fault, member, duration).await?,
            Kind::Partition => self.partition(fault, member, duration, variant).await?,
            Kind::Region => self.region(fault, member, duration).await?,
            Kind::Oneway => self.one_way(fault, member, duration, variant).await?,
            Kind::Loss | Kind::Delay | Kind::Duplicate | Kind::Reorder | Kind::LongLinks => {
                self.degrade(fault, member, duration, variant).await?;
            }
            Kind::Transfer => self.transfer(fault, member).await?,
            Kind::Membership => self.membership(fault, member, duration).await?,
            Kind::Quorum => self.quorum(fault, member, duration).await?,
            Kind::Wipe => self.wipe(fault, member, duration).await?,
            Kind::Unit => self.unit(fault, member)?,
            Kind::DiskFull => self.full_disk(fault, member, duration, variant).await?,
            Kind::DiskSlow => self.slow_disk(fault, member, duration, variant).await?,
            Kind::StorageError => {
                self.storage_error(fault, member, duration, variant).await?;
            }
            Kind::DiskHang => self.hanging_disk(fault, member, duration, variant).await?,
            Kind::Clock => self.clock(fault, member, duration, variant).await?,
            Kind::Spawn => self.spawn(fault, member, duration, variant).await?,
            Kind::PidReuse => self.pid_reuse(fault, member, duration).await?,
            Kind::Restore => self.restore(fault, member, duration, variant).await?,
            Kind::Hang => self.hang(fault, member, variant).await?,
            Kind::Absence => self.absence(fault, member, duration, variant).await?,
            Kind::Outage => self.outage(fault, member, variant).await?,
            Kind::Clone => self.clone_agent(fault, member).await?,
            Kind::SlowLookups => self.slow_lookups(fault, member, variant).await?,
            Kind::Move => self.move_peers(fault, &self.moving(member, variant), duration).await?,
        }
        Ok(())
    }

    fn record(&self, fault: &ActiveFault, step: Step) {
        let ActiveFault { number, kind, nodes } = fault;
        self.recorder.append(&Record::Fault(Fault {
            at: self.recorder.now(),
            fault: *number,
            kind: kind.name(),
            nodes: nodes.clone(),
            step,
        }));
    }

    fn record_effect(&self, fault: &ActiveFault, evidence: Option<String>) {
        match evidence {
            Some(evidence) => self.record(fault, Step::Effective { evidence }),
            None => eprintln!("             {} had no effect", fault.kind.name()),
        }
    }

    async fn kill(
        &self,
        fault: &ActiveFault,
        affected: &[usize],
        duration: Duration,
    ) -> anyhow::Result<()> {
        for member in affected {
            self.cluster.kill(*member)?;
        }
        self.record_effect(fault, effects::not_running(&self.cluster, affected)?);
        sleep(duration).await;
        affected.iter().try_for_each(|member| self.cluster.start_member(*member))
    }

    async fn pause(
        &self,
        fault: &ActiveFault,
        member: usize,
        duration: Duration,
    ) -> anyhow::Result<()> {
        let process =
            self.cluster.members[member].agent.process()?.context("the agent is not running")?;
        process.freeze();
        sleep(duration).await;
        let evidence = effects::stopped(process.pid())?;
        process.thaw();
        self.record_effect(fault, evidence);
        Ok(())
    }

    /// Returns the agents that move together: one, or a majority.
    fn moving(&self, member: usize, majority: bool) -> Vec<usize> {
        let members = self.cluster.members.len();
        let count = if majority { members / 2 + 1 } else { 1 };
        (member..member + count).map(|index| index % members).collect()
    }

    fn all(&self) -> Vec<usize> {
        (0..self.cluster.members.len()).collect()
    }

    fn others(&self, member: usize) -> impl Iterator<Item = usize> {
        (0..self.cluster.members.len()).filter(move |other| *other != member)
    }

    async fn transfer(&self, fault: &ActiveFault, member: usize) -> anyhow::Result<()> {
        let evidence = effects::transferred(&self.cluster, member).await?;
        self.record_effect(fault, evidence);
        Ok(())
    }

    async fn membership(
        &mut self,
        fault: &ActiveFault,
        member: usize,
        duration: Duration,
    ) -> anyhow::Result<()> {
        let all = u32::try_from(self.cluster.members.len())?;
        self.set_voters(member, 1).await?;
        sleep(duration).await;
        let evidence = effects::voters(&self.cluster, 1).await?;
        self.set_voters(member, all).await?;
        self.record_effect(fault, evidence);
        // The next fault requires a cluster that tolerates the loss of a member.
        effects::voters(&self.cluster, all as usize).await?;
        Ok(())
    }

    /// Sets the maximum number of voters.
    async fn set_voters(&mut self, member: usize, voters: u32) -> anyhow::Result<()> {
        let limits = effects::limits(&self.cluster).await?;
        let limits = v1::Limits { voters, ..limits };
        let mutation =
            Mutation::Limits(v1::SetLimitsRequest { context: context(), limits: Some(limits) });
        self.retry_until_accepted(member, &mutation).await
    }

    /// Submits a change until it is accepted.
    async fn retry_until_accepted(
        &mut self,
        member: usize,
        mutation: &Mutation,
    ) -> anyhow::Result<()> {
        let outcome = self.client.change(member, mutation, ATTEMPTS).await?;
        let accepted = matches!(outcome, Outcome::Accepted { .. });
        anyhow::ensure!(accepted, "{mutation:?} failed: {outcome:?}");
        Ok(())
    }

    async fn quorum(
        &mut self,
        fault: &ActiveFault,
        survivor: usize,
        duration: Duration,
    ) -> anyhow::Result<()> {
        let members = self.cluster.members.len();
        let affected: Vec<usize> = self.others(survivor).take(members / 2 + 1).collect();
        for member in &affected {
            self.cluster.kill(*member)?;
        }
        // Without a quorum, no linearizable read can succeed.
        let succeeded = self.client.read(survivor, true).await?.is_some();
        let name = self.cluster.members[survivor].name();
        let evidence = format!("{name} served no linearizable read");
        self.record_effect(fault, (!succeeded).then_some(evidence));
        sleep(duration).await;
        affected.iter().try_for_each(|member| self.cluster.start_member(*member))
    }

    async fn wipe(
        &mut self,
        fault: &ActiveFault,
        member: usize,
        duration: Duration,
    ) -> anyhow::Result<()> {
        let before = effects::node_id(&self.cluster, member).await?;
        self.cluster.kill(member)?;
        self.cluster.wipe(member)?;
        sleep(duration).await;
        let evidence = self.rejoin(member, &before).await?;
        self.record_effect(fault, evidence);
        Ok(())
    }

    /// Lets an agent with an empty disk join as a new node; `before` is its previous node id.
    async fn rejoin(&mut self, member: usize, before: &str) -> anyhow::Result<Option<String>> {
        let agent = self.cluster.members[member].name();
        let mutation = Mutation::Remove(v1::RemoveAgentRequest { context: context(), agent });
        self.retry_until_accepted(member + 1, &mutation).await?;
        self.cluster.start_member(member)?;
        let evidence = effects::rejoined(&self.cluster, member, before).await?;
        let all = self.cluster.members.len();
        effects::voters(&self.cluster, all).await?;
        Ok(evidence)
    }
}
