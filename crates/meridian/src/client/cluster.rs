//! `meridian cluster` and `meridian agent drain`.

use meridian_proto::v1;

use crate::cli::{ClusterCommand, DrainArgs, LimitsCommand, LimitsSetArgs};

use super::change::{change, note};
use super::confirm::confirm;
use super::contract;
use super::departure;
use super::failure::Failure;
use super::lookup;
use super::output::table;
use super::session::Session;
use super::view::{LeaderView, LimitsView, SnapshotView};
use super::wait::{self, Goal};
use crate::exit;

/// Hexadecimal digits of a member id.
const ID_DIGITS: usize = 16;

/// Runs a `meridian cluster` command.
///
/// # Errors
/// As its parts.
pub async fn run(session: &Session, command: ClusterCommand) -> Result<(), Failure> {
    match command {
        ClusterCommand::Members => members(session).await,
        ClusterCommand::Join { peer_address } => join(session, peer_address).await,
        ClusterCommand::Remove { name } => remove(session, name).await,
        ClusterCommand::TransferLeader { name } => transfer_leader(session, name).await,
        ClusterCommand::Snapshot => snapshot(session).await,
        ClusterCommand::Limits(LimitsCommand::Show) => {
            let limits = LimitsView::from(limits(session).await?);
            session.output.one(&limits, |limits| table(std::slice::from_ref(limits)))
        }
        ClusterCommand::Limits(LimitsCommand::Set(args)) => set_limits(session, args).await,
        ClusterCommand::TrimHistory { through } => trim_history(session, through).await,
    }
}

async fn members(session: &Session) -> Result<(), Failure> {
    let members = lookup::members(session).await?;
    session.output.list(&members)?;
    note(session, members.iter().filter_map(|member| member.waits_for.as_ref()));
    Ok(())
}

/// Runs `meridian agent drain`.
///
/// # Errors
/// As [`change`].
pub async fn drain(session: &Session, args: DrainArgs) -> Result<(), Failure> {
    if !args.undo {
        let what = format!("take the units and the vote from the agent {}", args.name);
        departure::confirm(session, &args.name, &what).await?;
    }
    let goal = if args.undo { Goal::AgentSettled } else { Goal::AgentDrained };
    let goal = goal(args.name.clone());
    let message = |context| v1::DrainAgentRequest {
        context: Some(context),
        agent: args.name,
        undo: args.undo,
    };
    change(session, Some(goal), message, async |channel, request| {
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
        exit::note(&format!("{agent} is a member already"), "there is nothing to do");
    }
    wait::until(session, &Goal::AgentJoined(agent.clone()), None).await?;
    if session.global.wait {
        wait::until(session, &Goal::AgentSettled(agent.clone()), None).await?;
    }
    let joined = lookup::member(session, &agent).await?;
    let joined = joined.ok_or(Failure::Garbled { what: "member that was there a moment ago" })?;
    session.output.one(&joined, |member| table(std::slice::from_ref(member)))?;
    note(session, &joined.waits_for);
    Ok(())
}

async fn remove(session: &Session, name: String) -> Result<(), Failure> {
    let agent = agent_of(session, name).await?;
    departure::confirm(session, &agent, &format!("forget the agent {agent} for good")).await?;
    let member = match session.global.wait {
        true => lookup::member(session, &agent).await?,
        false => None,
    };
    let goal = Goal::AgentGone { agent: agent.clone(), id: member.map(|member| member.id) };
    let message = |context| v1::RemoveAgentRequest { context: Some(context), agent };
    change(session, Some(goal), message, async |channel, request| {
        contract::cluster(channel).remove_agent(request).await
    })
    .await
}

/// The agent that has this name, or the agent whose member id this is. A name may look like an id,
/// so names are looked at first.
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
        cause: format!("no agent is registered with the member id {name}"),
        next: "`meridian cluster members` lists the members and their agents".to_owned(),
    })
}

async fn transfer_leader(session: &Session, name: Option<String>) -> Result<(), Failure> {
    let request = v1::TransferLeaderRequest { agent: name.unwrap_or_default() };
    let answer = session.once(request, async |channel, request| {
        contract::cluster(channel).transfer_leader(request).await
    });
    let view = LeaderView { leader: answer.await?.agent };
    session.output.one(&view, |view| format!("{} leads\n", view.leader))
}

async fn snapshot(session: &Session) -> Result<(), Failure> {
    let answer = session.once(v1::TakeSnapshotRequest {}, async |channel, request| {
        contract::cluster(channel).take_snapshot(request).await
    });
    let revision = answer.await?.revision;
    let view = SnapshotView { revision, endpoint: session.caller.answering().to_string() };
    session
        .output
        .one(&view, |view| format!("snapshot at revision {} on {}\n", view.revision, view.endpoint))
}

async fn limits(session: &Session) -> Result<v1::Limits, Failure> {
    let request = v1::GetLimitsRequest { consistency: session.consistency().into() };
    let answer = session.read(request, async |channel, request| {
        contract::cluster(channel).get_limits(request).await
    });
    answer.await?.limits.ok_or(Failure::Garbled { what: "limits" })
}

async fn set_limits(session: &Session, args: LimitsSetArgs) -> Result<(), Failure> {
    let now = limits(session).await?;
    let wanted = v1::Limits {
        developer_units: args.developer_units.unwrap_or(now.developer_units),
        basic_units: args.basic_units.unwrap_or(now.basic_units),
        standard_units: args.standard_units.unwrap_or(now.standard_units),
        premium_units: args.premium_units.unwrap_or(now.premium_units),
        voters: args.voters.unwrap_or(now.voters),
    };
    let message = |context| v1::SetLimitsRequest { context: Some(context), limits: Some(wanted) };
    change(session, None, message, async |channel, request| {
        contract::cluster(channel).set_limits(request).await
    })
    .await
}

async fn trim_history(session: &Session, through: u64) -> Result<(), Failure> {
    confirm(session, &format!("forget the events up to revision {through} for good"))?;
    let message = |context| v1::TrimHistoryRequest { context: Some(context), through };
    change(session, None, message, async |channel, request| {
        contract::cluster(channel).trim_history(request).await
    })
    .await
}
