//! Injects the faults of a schedule, one after another, and ends each.

mod machines;
mod units;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use meridian_proto::v1;
use meridian_testkit::history::{Answer, Fault, Record, Recorder, Step};
use meridian_testkit::process::network::Rule;
use tokio::time::{Instant, sleep, sleep_until};

use super::calls::{Ask, Caller, context};
use super::clients;
use super::cluster::Cluster;
use super::effects;
use super::schedule::{Kind, Planned, Schedule};

/// The part of all packets that is lost, doubled, or reordered.
const PART: f64 = 0.3;
/// How much later a delayed packet arrives.
const DELAY: Duration = Duration::from_millis(100);
/// How often a change that belongs to a fault is asked for.
const ATTEMPTS: usize = 60;

/// Injects faults into a cluster.
pub struct Injector {
    cluster: Arc<Cluster>,
    recorder: Recorder,
    caller: Caller,
}

/// One fault that was begun.
struct Begun {
    number: u64,
    kind: Kind,
    nodes: Vec<String>,
}

impl Injector {
    pub fn new(cluster: &Arc<Cluster>, recorder: &Recorder) -> Self {
        let caller = Caller::new(cluster, recorder);
        Self { cluster: cluster.clone(), recorder: recorder.clone(), caller }
    }

    /// Goes through the schedule; in a soak, as far as the time goes, which faults take from each other
    /// on a busy machine.
    ///
    /// # Errors
    /// If a fault cannot be injected, or not be ended.
    pub async fn run(&mut self, schedule: &Schedule, soak: bool) -> anyhow::Result<()> {
        let began = Instant::now();
        let load = Duration::from_secs(schedule.load_seconds);
        for planned in &schedule.faults {
            sleep_until(began + Duration::from_millis(planned.at_ms)).await;
            if soak && began.elapsed() > load {
                break;
            }
            if let Some(why) = self.cluster.lacks(planned.kind) {
                eprintln!("{:>8} ms  {} is left out: {why}", planned.at_ms, planned.kind.name());
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
        if matches!(planned.kind, Kind::Unit | Kind::PidReuse) {
            member = effects::with_unit(&self.cluster, member).await?;
        }
        let lasts = Duration::from_millis(planned.lasts_ms);
        let all: Vec<usize> = (0..self.cluster.members.len()).collect();
        let met = match planned.kind {
            Kind::Loss | Kind::Membership | Kind::All | Kind::Quorum => all.clone(),
            Kind::Duplicate | Kind::Reorder => all.clone(),
            _ => vec![member],
        };
        let nodes = met.iter().map(|met| self.cluster.members[*met].name()).collect();
        let begun = Begun { number: self.recorder.number(), kind: planned.kind, nodes };
        let name = planned.kind.name();
        eprintln!("{:>8} ms  {name} {}", planned.at_ms, begun.nodes.join(" "));
        self.note(&begun, Step::Begun);
        match planned.kind {
            Kind::Kill => self.kill(&begun, &[member], lasts).await?,
            Kind::All => self.kill(&begun, &all, lasts).await?,
            Kind::Pause => self.pause(&begun, member, lasts).await?,
            Kind::Partition => self.partition(&begun, member, lasts, planned.variant).await?,
            Kind::Region => self.region(&begun, member, lasts).await?,
            Kind::Oneway => self.one_way(&begun, member, lasts, planned.variant).await?,
            Kind::Loss | Kind::Delay | Kind::Duplicate | Kind::Reorder => {
                self.disturb(&begun, member, lasts, planned.variant).await?;
            }
            Kind::Transfer => self.transfer(&begun, member).await?,
            Kind::Membership => self.membership(&begun, member, lasts).await?,
            Kind::Quorum => self.quorum(&begun, member, lasts).await?,
            Kind::Wipe => self.wipe(&begun, member, lasts).await?,
            Kind::Unit => self.unit(&begun, member)?,
            Kind::DiskFull => self.full_disk(&begun, member, lasts, planned.variant).await?,
            Kind::DiskSlow => self.slow_disk(&begun, member, lasts, planned.variant).await?,
            Kind::StorageError => {
                self.storage_error(&begun, member, lasts, planned.variant).await?;
            }
            Kind::Clock => self.clock(&begun, member, lasts, planned.variant).await?,
            Kind::Spawn => self.spawn(&begun, member, lasts, planned.variant).await?,
            Kind::PidReuse => self.pid_reuse(&begun, member, lasts).await?,
        }
        self.note(&begun, Step::Ended);
        Ok(())
    }

    fn note(&self, begun: &Begun, step: Step) {
        let Begun { number, kind, nodes } = begun;
        self.recorder.append(&Record::Fault(Fault {
            at: self.recorder.now(),
            fault: *number,
            kind: kind.name(),
            nodes: nodes.clone(),
            step,
        }));
    }

    fn bit(&self, begun: &Begun, evidence: Option<String>) {
        match evidence {
            Some(evidence) => self.note(begun, Step::Bit { evidence }),
            None => eprintln!("             {} had no effect", begun.kind.name()),
        }
    }

    async fn kill(&self, begun: &Begun, met: &[usize], lasts: Duration) -> anyhow::Result<()> {
        for member in met {
            self.cluster.kill(*member)?;
        }
        self.bit(begun, effects::gone(&self.cluster, met)?);
        sleep(lasts).await;
        met.iter().try_for_each(|member| self.cluster.start_member(*member))
    }

    async fn pause(&self, begun: &Begun, member: usize, lasts: Duration) -> anyhow::Result<()> {
        let process = self.cluster.members[member].agent.process()?.context("the agent runs")?;
        process.freeze();
        sleep(lasts).await;
        let evidence = effects::stopped(process.pid())?;
        process.thaw();
        self.bit(begun, evidence);
        Ok(())
    }

    async fn partition(
        &self,
        begun: &Begun,
        member: usize,
        lasts: Duration,
        restart: bool,
    ) -> anyhow::Result<()> {
        self.isolate(member)?;
        self.last(member, lasts, restart).await?;
        self.mend(begun).await;
        Ok(())
    }

    /// Lets time pass, and starts an agent anew in the middle of it.
    async fn last(&self, member: usize, lasts: Duration, restart: bool) -> anyhow::Result<()> {
        sleep(lasts / 2).await;
        if restart {
            self.cluster.kill(member)?;
            self.cluster.start_member(member)?;
        }
        sleep(lasts / 2).await;
        Ok(())
    }

    async fn region(
        &mut self,
        begun: &Begun,
        member: usize,
        lasts: Duration,
    ) -> anyhow::Result<()> {
        let region = self.cluster.members[member].region;
        self.insist(member, &clients::place(region, 1)).await?;
        self.isolate(member)?;
        // Whatever became of it meanwhile, what counts is that the location is another one after.
        self.caller.change(member + 1, &clients::displace(region), ATTEMPTS).await?;
        sleep(lasts).await;
        self.insist(member + 1, &clients::place(region, 1)).await?;
        self.mend(begun).await;
        Ok(())
    }

    fn isolate(&self, member: usize) -> anyhow::Result<()> {
        for other in self.others(member) {
            self.cut(member, other)?;
            self.cut(other, member)?;
        }
        Ok(())
    }

    async fn one_way(
        &self,
        begun: &Begun,
        member: usize,
        lasts: Duration,
        deaf: bool,
    ) -> anyhow::Result<()> {
        for other in self.others(member) {
            let (from, to) = if deaf { (other, member) } else { (member, other) };
            self.cut(from, to)?;
        }
        sleep(lasts).await;
        self.mend(begun).await;
        Ok(())
    }

    /// Makes what agents send each other arrive late, twice, in another order, or not at all.
    async fn disturb(
        &self,
        begun: &Begun,
        member: usize,
        lasts: Duration,
        restart: bool,
    ) -> anyhow::Result<()> {
        let rule = match begun.kind {
            Kind::Delay => Rule { delay: DELAY, ..Rule::default() },
            Kind::Duplicate => Rule { duplication: PART, ..Rule::default() },
            Kind::Reorder => Rule { reordering: PART, ..Rule::default() },
            _ => Rule { loss: PART, ..Rule::default() },
        };
        for from in 0..self.cluster.members.len() {
            for to in self.others(from) {
                if begun.kind != Kind::Delay || [from, to].contains(&member) {
                    self.rule(from, to, rule)?;
                }
            }
        }
        self.last(member, lasts, restart).await?;
        self.mend(begun).await;
        Ok(())
    }

    fn others(&self, member: usize) -> impl Iterator<Item = usize> {
        (0..self.cluster.members.len()).filter(move |other| *other != member)
    }

    fn cut(&self, from: usize, to: usize) -> anyhow::Result<()> {
        self.rule(from, to, Rule::CUT)
    }

    /// Agents of the network are counted from 1.
    fn rule(&self, from: usize, to: usize, rule: Rule) -> anyhow::Result<()> {
        self.cluster.network().set(u8::try_from(from)? + 1, u8::try_from(to)? + 1, rule)
    }

    /// Ends it, once it was felt: agents that are just starting send nothing.
    async fn mend(&self, begun: &Begun) {
        let network = self.cluster.network();
        self.bit(begun, effects::felt(network, begun.kind).await);
        network.heal();
    }

    async fn transfer(&self, begun: &Begun, member: usize) -> anyhow::Result<()> {
        let evidence = effects::transferred(&self.cluster, member).await?;
        self.bit(begun, evidence);
        Ok(())
    }

    async fn membership(
        &mut self,
        begun: &Begun,
        member: usize,
        lasts: Duration,
    ) -> anyhow::Result<()> {
        let all = u32::try_from(self.cluster.members.len())?;
        self.voters(member, 1).await?;
        sleep(lasts).await;
        let evidence = effects::voters(&self.cluster, 1).await?;
        self.voters(member, all).await?;
        self.bit(begun, evidence);
        // What comes next is to meet a cluster that can lose a member.
        effects::voters(&self.cluster, all as usize).await?;
        Ok(())
    }

    /// Sets how many voters there are to be.
    async fn voters(&mut self, member: usize, voters: u32) -> anyhow::Result<()> {
        let limits = effects::limits(&self.cluster).await?;
        let limits = v1::Limits { voters, ..limits };
        let ask = Ask::Limits(v1::SetLimitsRequest { context: context(), limits: Some(limits) });
        self.insist(member, &ask).await
    }

    /// Asks for a change until it happens.
    async fn insist(&mut self, member: usize, ask: &Ask) -> anyhow::Result<()> {
        let answer = self.caller.change(member, ask, ATTEMPTS).await?;
        let accepted = matches!(answer, Answer::Accepted { .. });
        anyhow::ensure!(accepted, "{ask:?} is answered by {answer:?}");
        Ok(())
    }

    async fn quorum(&mut self, begun: &Begun, left: usize, lasts: Duration) -> anyhow::Result<()> {
        let members = self.cluster.members.len();
        let met: Vec<usize> = self.others(left).take(members / 2 + 1).collect();
        for member in &met {
            self.cluster.kill(*member)?;
        }
        // Without a majority nobody knows what is fresh.
        let answered = self.caller.read(left, true).await?.is_some();
        let evidence =
            format!("{} answers no linearizable read", self.cluster.members[left].name());
        self.bit(begun, (!answered).then_some(evidence));
        sleep(lasts).await;
        met.iter().try_for_each(|member| self.cluster.start_member(*member))
    }

    async fn wipe(&mut self, begun: &Begun, member: usize, lasts: Duration) -> anyhow::Result<()> {
        let before = effects::node_of(&self.cluster, member).await?;
        self.cluster.kill(member)?;
        self.cluster.wipe(member)?;
        sleep(lasts).await;
        let evidence = self.rejoin(member, &before).await?;
        self.bit(begun, evidence);
        Ok(())
    }

    /// Has an agent with an empty disk, which was a node before, join as a new one.
    async fn rejoin(&mut self, member: usize, before: &str) -> anyhow::Result<Option<String>> {
        let agent = self.cluster.members[member].name();
        let ask = Ask::Remove(v1::RemoveAgentRequest { context: context(), agent });
        self.insist(member + 1, &ask).await?;
        self.cluster.start_member(member)?;
        let evidence = effects::rejoined(&self.cluster, member, before).await?;
        let all = self.cluster.members.len();
        effects::voters(&self.cluster, all).await?;
        Ok(evidence)
    }
}
