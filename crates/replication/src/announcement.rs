//! Announces the description of this agent, for example new addresses.

use std::time::Duration;

use meridian_domain::{AgentDescription, AgentName, Command, Verdict};
use meridian_ports::{Consistency, Proposal, Propose as _, Read as _, Requester};
use meridian_storage::fuse::Fuse;
use tokio::time::{Instant, sleep};

use crate::proposer::Proposer;
use crate::reader::Reader;

/// Delay before the description is announced again.
const INTERVAL: Duration = Duration::from_secs(1);
/// Interval between comparisons once the description is registered.
const WATCH_INTERVAL: Duration = Duration::from_secs(10);
/// Timeout of an attempt to announce it, and of a read.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The description that is to be registered.
pub(crate) struct Announcement {
    pub description: AgentDescription,
    pub reader: Reader,
    pub proposer: Proposer,
    /// Blown if the data directory belongs to an agent with another name.
    pub fuse: Fuse,
}

/// Registered description, compared with that of this agent.
enum Registered {
    Same,
    Different,
    /// Another name: the data directory is that of another agent.
    OtherName(AgentName),
    /// No agent runs on this node. Registration is not done here.
    Absent,
}

impl Announcement {
    /// Proposes the description whenever it differs from the registered one: after a start, and if
    /// another process with the id of this node announced its own. Returns after a rejection: the
    /// same description would be rejected again.
    ///
    /// A difference in the local state is enough for a proposal. If this agent moved, the leader may
    /// not know where, so this node applies nothing and no linearizable read completes until the
    /// leader knows.
    pub async fn run(self) {
        let mut is_confirmed = false;
        loop {
            match self.registered() {
                Registered::Same if is_confirmed => {}
                Registered::Different => {
                    is_confirmed = false;
                    if let Err(Refused) = self.propose().await {
                        return;
                    }
                }
                Registered::OtherName(registered) => {
                    let configured = &self.description.name;
                    return self.fuse.blow(format_args!(
                        "the data directory belongs to agent {registered}, but the configured name \
                         is {configured}; restore the name, or set an empty data_dir"
                    ));
                }
                Registered::Same | Registered::Absent => {
                    let deadline = Instant::now() + TIMEOUT;
                    let read = self.reader.read(Consistency::Linearizable, deadline).await;
                    is_confirmed = read.is_ok() && matches!(self.registered(), Registered::Same);
                }
            }
            sleep(if is_confirmed { WATCH_INTERVAL } else { INTERVAL }).await;
        }
    }

    /// Compares with the local state, which may be old.
    fn registered(&self) -> Registered {
        let state = self.reader.state();
        let mut agents = state.agents.values().map(|agent| &agent.description);
        match agents.find(|known| known.node == self.description.node) {
            Some(known) if *known == self.description => Registered::Same,
            Some(known) if known.name == self.description.name => Registered::Different,
            Some(known) => Registered::OtherName(known.name.clone()),
            None => Registered::Absent,
        }
    }

    async fn propose(&self) -> Result<(), Refused> {
        let command = Command::RegisterAgent(self.description.clone());
        let deadline = Instant::now() + TIMEOUT;
        let proposal = Proposal { command, requester: Requester::System, deadline };
        match self.proposer.propose(proposal).await.map(|receipt| receipt.verdict) {
            Ok(Verdict::Accepted) => Ok(()),
            Ok(Verdict::Rejected(rejections)) => {
                let rejections: Vec<_> = rejections.iter().map(ToString::to_string).collect();
                tracing::error!(
                    rejections = rejections.join("; "),
                    "the cluster rejected the new description of this agent; restore its \
                     configuration, or remove the agent and join it again"
                );
                Err(Refused)
            }
            Err(error) => {
                tracing::info!(%error, "failed to announce this agent, retrying");
                Ok(())
            }
        }
    }
}

/// The cluster rejected the description.
struct Refused;
