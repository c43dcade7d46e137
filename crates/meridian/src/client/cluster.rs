//! `meridian cluster` and `meridian agent drain`.

use meridian_domain::limits::SEGMENT_EVENTS;
use meridian_proto::v1;

use crate::cli::{ClusterCommand, DrainArgs, LimitArgs, LimitsCommand, ReaddressArgs};

use super::change::{Intent, acknowledged, change, note};
use super::confirm::confirm;
use super::contract;
use super::failure::Failure;
use super::impact;
use super::lookup;
use super::session::Session;
use super::view::{LeaderView, LimitsView, ReaddressedView, SnapshotView};
use super::wait::{self, Goal};
use crate::exit;

/// Next step of notes on a cluster that cannot be shown as a whole.
const SEE_STATUS: &str = "see `meridian status`";
/// Hexadecimal digits of a member id.
const ID_DIGITS: usize = 16;

/// Runs a `meridian cluster` command.
///
/// # Errors
/// The failure of the subcommand.
pub async fn run(session: &Session, command: ClusterCommand) -> Result<(), Failure> {
    match command {
        ClusterCommand::Members(_) => members(session).await,
        ClusterCommand::Join(args) => join(session, args.peer_address).await,
        ClusterCommand::Readdress(args) => readdress(session, args).await,
        ClusterCommand::Remove(args) => remove(session, args.name).await,
        ClusterCommand::TransferLeader(args) => transfer_leader(session, args.name).await,
        ClusterCommand::Snapshot(_) => snapshot(session).await,
        ClusterCommand::Limits(LimitsCommand::Show(_)) => {
            let limits = LimitsView::from(lookup::limits(session).await?);
            session.output.one(&limits, |limits| session.output.table(std::slice::from_ref(limits)))
        }
        ClusterCommand::Limits(LimitsCommand::Set(args)) => set_limits(session, &args.limits).await,
        ClusterCommand::TrimHistory(args) => trim_history(session, args.through).await,
    }
}

async fn members(session: &Session) -> Result<(), Failure> {
    let members = lookup::members(session).await?;
    session.output.list(&members)?;
    note(session, members.iter().filter_map(|member| member.waits_for.as_ref()));
    let leaderless = members.iter().all(|member| member.next.is_none());
    if leaderless && !session.output.is_json() {
        exit::note("no leader responds; members as the contacted agent knows them", SEE_STATUS);
    }
    Ok(())
}

/// Runs `meridian agent drain`.
///
/// # Errors
/// Same as [`change`].
pub async fn drain(session: &Session, args: DrainArgs) -> Result<(), Failure> {
    if !args.undo {
        let what = format!("take the units and the vote from agent {}", args.name);
        impact::confirm(session, &args.name, &what).await?;
    }
    let goal = if args.undo { Goal::AgentSettled } else { Goal::AgentDrained };
    let intent = Intent::with_goal(goal(args.name.clone()));
    let message = |context| v1::DrainAgentRequest {
        context: Some(context),
        agent: args.name,
        undo: args.undo,
    };
    change(session, intent, message, async |channel, request| {
        contract::cluster(channel).drain_agent(request).await
    })
    .await
}

async fn join(session: &Session, peer_address: String) -> Result<(), Failure> {
    let before = lookup::members(session).await?;
    let request = v1::InviteAgentRequest { peer_address };
    let invited = session.once(request, async |channel, request| {
        contract::cluster(channel).invite_agent(request).await
    });
    let agent = invited.await?.agent;
    if before.iter().any(|member| member.agent.as_ref() == Some(&agent)) {
        exit::message(format_args!("no change: {agent} is already a member"));
    }
    let goal = if session.options.wait { Goal::AgentSettled } else { Goal::AgentJoined };
    wait::until(session, &goal(agent.clone()), None, &[]).await?;
    let Ok(Some(joined)) = lookup::member(session, &agent).await else {
        exit::note(&format!("{agent} joined; it cannot be shown now"), SEE_STATUS);
        return Ok(());
    };
    acknowledged(
        session.output.one(&joined, |member| session.output.table(std::slice::from_ref(member))),
    );
    note(session, &joined.waits_for);
    Ok(())
}

async fn readdress(session: &Session, args: ReaddressArgs) -> Result<(), Failure> {
    let ReaddressArgs { name: agent, peer_address, .. } = args;
    let request =
        v1::ReaddressAgentRequest { agent: agent.clone(), peer_address: peer_address.clone() };
    let response = session.once(request, async |channel, request| {
        contract::cluster(channel).readdress_agent(request).await
    });
    let v1::ReaddressAgentResponse { informed, unreachable } = response.await?;
    if !unreachable.is_empty() && !session.output.is_json() {
        let cause = format!("not informed, because unreachable: {}", unreachable.join(", "));
        exit::note(&cause, "repeat the command once they respond");
    }
    let view = ReaddressedView { agent, peer_address, informed, unreachable };
    acknowledged(session.output.one(&view, |view| {
        let ReaddressedView { agent, peer_address, informed, .. } = view;
        format!("identified {agent} at {peer_address}; informed: {}\n", informed.join(", "))
    }));
    Ok(())
}

async fn remove(session: &Session, name: String) -> Result<(), Failure> {
    let agent = agent_of(session, name).await?;
    impact::confirm(session, &agent, &format!("remove agent {agent} permanently")).await?;
    let member = match session.options.wait {
        true => lookup::member(session, &agent).await?,
        false => None,
    };
    let goal = Goal::AgentGone { agent: agent.clone(), id: member.map(|member| member.id) };
    let message = |context| v1::RemoveAgentRequest { context: Some(context), agent };
    change(session, Intent::with_goal(goal), message, async |channel, request| {
        contract::cluster(channel).remove_agent(request).await
    })
    .await
}

/// The agent with this name, or the agent of the member with this id. A name may look like an id,
/// so names come first.
async fn agent_of(session: &Session, name: String) -> Result<String, Failure> {
    if name.len() != ID_DIGITS || !name.chars().all(|c| c.is_ascii_hexdigit()) {
        return Ok(name);
    }
    let members = lookup::members(session).await?;
    if members.iter().any(|member| member.agent.as_ref() == Some(&name)) {
        return Ok(name);
    }
    let member = members.into_iter().find(|member| member.id.eq_ignore_ascii_case(&name));
    member.and_then(|member| member.agent).ok_or_else(|| Failure::Refused {
        cause: format!("no agent has the member id {name}"),
        next: "`meridian cluster members` lists the members and their agents".to_owned(),
    })
}

async fn transfer_leader(session: &Session, name: Option<String>) -> Result<(), Failure> {
    let request = v1::TransferLeaderRequest { agent: name.unwrap_or_default() };
    let response = session.once(request, async |channel, request| {
        contract::cluster(channel).transfer_leader(request).await
    });
    let view = LeaderView { leader: response.await?.agent };
    acknowledged(session.output.one(&view, |view| format!("the leader is {}\n", view.leader)));
    Ok(())
}

async fn snapshot(session: &Session) -> Result<(), Failure> {
    let response = session.once(v1::TakeSnapshotRequest {}, async |channel, request| {
        contract::cluster(channel).take_snapshot(request).await
    });
    let revision = response.await?.revision;
    let view = SnapshotView { revision, endpoint: session.client.last_endpoint().to_string() };
    acknowledged(session.output.one(&view, |view| {
        format!("snapshot at revision {} on {}\n", view.revision, view.endpoint)
    }));
    Ok(())
}

async fn set_limits(session: &Session, args: &LimitArgs) -> Result<(), Failure> {
    let current = lookup::limits(session).await?;
    let wanted = v1::Limits {
        developer_units: args.developer_units.unwrap_or(current.developer_units),
        basic_units: args.basic_units.unwrap_or(current.basic_units),
        standard_units: args.standard_units.unwrap_or(current.standard_units),
        premium_units: args.premium_units.unwrap_or(current.premium_units),
        voters: args.voters.unwrap_or(current.voters),
    };
    let message = |context| v1::SetLimitsRequest { context: Some(context), limits: Some(wanted) };
    change(session, Intent::default(), message, async |channel, request| {
        contract::cluster(channel).set_limits(request).await
    })
    .await
}

async fn trim_history(session: &Session, through: u64) -> Result<(), Failure> {
    confirm(session, &format!("delete the events up to revision {through} permanently"))?;
    let message = |context| v1::TrimHistoryRequest { context: Some(context), through };
    let unchanged = format!(
        "events are trimmed in segments of {SEGMENT_EVENTS}, and no other segment ends at or before \
         revision {through}"
    );
    let intent = Intent { unchanged: Some(unchanged), ..Intent::default() };
    change(session, intent, message, async |channel, request| {
        contract::cluster(channel).trim_history(request).await
    })
    .await
}
