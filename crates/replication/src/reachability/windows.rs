//! Windows of the votes, and the proposals that are due after a count.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use meridian_domain::reachability::votes::VoteCount;
use meridian_domain::reachability::{Gateways, Loss, LossVotes};
use meridian_domain::{AgentName, Command, ServiceName, State, Timestamp, decide};
use tokio::time::Instant;

/// Time between two counts above which lost gateways do not count as reached in between: longer than a
/// count whose proposals time out, with the delay after it.
const MAX_GAP: Duration = Duration::from_secs(4);

/// State of the leader between two counts.
#[derive(Debug, Default)]
pub(super) struct Windows {
    /// Time since which lost gateways are reached, or have no ready unit.
    reached_since: BTreeMap<(AgentName, Gateways), Instant>,
    /// Time of the last losses of each agent.
    proposed: BTreeMap<AgentName, Instant>,
    last_count: Option<Instant>,
}

impl Windows {
    /// Returns the commands that are due after a count at `now`, by the clock of the cluster `time`.
    /// Losses of one agent are due together, at most once in `window`.
    pub(super) fn due(
        &mut self,
        state: &State,
        votes: &[VoteCount],
        window: Duration,
        now: Instant,
        time: Timestamp,
    ) -> Vec<Command> {
        if self.last_count.is_some_and(|last| now.duration_since(last) > MAX_GAP) {
            self.reached_since.clear();
        }
        self.last_count = Some(now);
        self.proposed.retain(|_, at| now.duration_since(*at) < window);
        let mut due = self.losses(state, votes, time);
        let agents: BTreeSet<_> = due.iter().map(|loss| loss.agent.clone()).collect();
        self.proposed.extend(agents.into_iter().map(|agent| (agent, now)));
        let found = self.found(state, votes, now);
        let losses = due.drain(..).map(Command::LoseGateways);
        losses.chain(found).collect()
    }

    /// Forgets a loss that was not recorded: it is due again.
    pub(super) fn forget(&mut self, command: &Command) {
        if let Command::LoseGateways(loss) = command {
            self.proposed.remove(&loss.agent);
        }
    }

    fn losses(&self, state: &State, votes: &[VoteCount], time: Timestamp) -> Vec<LossVotes> {
        let lost = || votes.iter().filter(|count| count.is_loss());
        let is_all = |count: &&VoteCount| count.gateways == Gateways::All;
        let all: BTreeSet<_> = lost().filter(is_all).map(|count| &count.agent).collect();
        let is_separate = |count: &&VoteCount| is_all(count) || !all.contains(&count.agent);
        let may_propose = |count: &&VoteCount| !self.proposed.contains_key(&count.agent);
        let due = lost().filter(is_separate).filter(may_propose);
        due.map(|count| loss_votes(state, count, time)).filter(|it| is_new(state, it)).collect()
    }

    fn found(&mut self, state: &State, votes: &[VoteCount], now: Instant) -> Vec<Command> {
        let lost = votes.iter().filter_map(|count| Some((count, current_loss(state, count)?)));
        let mut lost = lost.peekable();
        if lost.peek().is_none() {
            self.reached_since.clear();
            return Vec::new();
        }
        let ready = ReadyGateways::of(state);
        // Of gateways without a ready unit, nothing can be said, and no client is sent to them.
        let over = lost.filter(|(count, _)| count.is_reached() || !ready.contains(count));
        let over: BTreeMap<_, _> = over
            .map(|(count, loss)| ((count.agent.clone(), count.gateways.clone()), loss))
            .collect();
        self.reached_since.retain(|gateways, _| over.contains_key(gateways));
        let mut found = Vec::new();
        for ((agent, gateways), loss) in over {
            let key = (agent.clone(), gateways.clone());
            let since = *self.reached_since.entry(key).or_insert(now);
            if now.duration_since(since) >= loss.stable_window() {
                found.push(Command::FindGateways { agent, gateways });
            }
        }
        found
    }
}

/// Gateways with a ready unit.
struct ReadyGateways<'a> {
    agents: BTreeSet<&'a AgentName>,
    services: BTreeSet<(&'a AgentName, &'a ServiceName)>,
}

impl<'a> ReadyGateways<'a> {
    fn of(state: &'a State) -> Self {
        let ready = || state.units.values().filter(|unit| unit.is_ready());
        Self {
            agents: ready().map(|unit| &unit.agent).collect(),
            services: ready().map(|unit| (&unit.agent, &unit.id.service)).collect(),
        }
    }

    fn contains(&self, count: &VoteCount) -> bool {
        match &count.gateways {
            Gateways::All => self.agents.contains(&count.agent),
            Gateways::Of(service) => self.services.contains(&(&count.agent, service)),
        }
    }
}

fn current_loss<'a>(state: &'a State, count: &VoteCount) -> Option<&'a Loss> {
    let loss = state.losses.get(&count.agent)?.get(&count.gateways)?;
    loss.is_current().then_some(loss)
}

fn loss_votes(state: &State, count: &VoteCount, time: Timestamp) -> LossVotes {
    let losses = state.losses.get(&count.agent);
    let former = losses.and_then(|losses| losses.get(&count.gateways));
    LossVotes {
        agent: count.agent.clone(),
        generation: count.generation,
        gateways: count.gateways.clone(),
        unreachable_from: count.unreachable_from.clone(),
        relapses: former.map_or(0, |loss: &Loss| loss.next_relapses(time)),
    }
}

/// Returns true if the loss would change the state: while it lasts, nothing is written.
fn is_new(state: &State, loss: &LossVotes) -> bool {
    let events = decide(state, &Command::LoseGateways(loss.clone()));
    events.is_ok_and(|events| !events.is_empty())
}

#[cfg(test)]
mod tests;
